"""Kept files between the clean and the order phase: one spill per input, its files sorted by where their repositories
stand in the corpus, so that an order shard reads a few runs of each.

A file is three byte strings one after the other: what the order needs to know of it (JSON), its line of the corpus, its
stored syntax.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from aixmeg.corpus.rows import open_rows

ENTRY: Final = np.dtype([(name, "<u8") for name in ("place", "offset", "about", "line", "spans")])
"""Of a file in a spill: where its repository stands, where it begins in the spill, lengths of its three strings."""
RUN_BYTES: Final = 64 << 20
"""What a worker holds before it writes; inputs are shorter, but for compressed files."""
_OPEN_FILES: Final = 64


class SpillWriter:
    """Sorts what fits into memory, run after run."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._held: list[tuple[int, bytes, bytes, bytes]] = []
        self._held_bytes = self._offset = 0
        self._entries: list[np.ndarray] = []

    def add(self, place: int, about: bytes, line: bytes, spans: bytes) -> None:
        """Add a file of the repository at `place`."""
        self._held.append((place, about, line, spans))
        self._held_bytes += len(about) + len(line) + len(spans)
        if self._held_bytes >= RUN_BYTES:
            self._flush()

    def finish(self) -> np.ndarray:
        """Write the rest; the index, sorted by place, files of one place in the order in which they came."""
        self._flush()
        entries = np.concatenate([np.zeros(0, ENTRY), *self._entries])
        return entries[np.argsort(entries["place"], kind="stable")]

    def _flush(self) -> None:
        self._held.sort(key=lambda file: file[0])  # stable
        rows = []
        for place, *parts in self._held:
            rows.append((place, self._offset, *(len(part) for part in parts)))
            for part in parts:
                self._file.write(part)
                self._offset += len(part)
        self._entries.append(np.array(rows, ENTRY))
        self._held.clear()
        self._held_bytes = 0


def shard_bounds(shard: int, shards: int) -> tuple[int, int]:
    """First place of an output shard, and the one behind its last: 2**64 places in equal parts."""
    return -(-(shard << 64) // shards), -(-((shard + 1) << 64) // shards)


def entries_between(index: Path, first: int, behind: int) -> np.ndarray:
    """The entries of the places in [first, behind)."""
    rows = open_rows(index, ENTRY)
    low, high = (bisect.bisect_left(range(len(rows)), place, key=lambda row: int(rows["place"][row]))
                 for place in (first, behind))  # fmt: skip
    return np.array(rows[low:high])


class SpillReader:
    """Reads files of many spills, a few of them open at a time."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, IO[bytes]] = OrderedDict()

    def read(self, spill: Path, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`."""
        file = self._open.get(spill)
        if file is None:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            file = self._open[spill] = spill.open("rb")
        self._open.move_to_end(spill)
        file.seek(offset)
        return file.read(size)

    def __enter__(self) -> SpillReader:
        return self

    def __exit__(self, *_: Any) -> None:
        for file in self._open.values():
            file.close()
