"""What the phases know of a file, as arrays on disk: nothing of it is held in memory for the whole corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

ROW: Final = np.dtype([("digest", "<u8", 2), ("repository", "<u8"), ("size", "<u8"), ("index", "<u8")])
"""A file that the scan kept: the first 16 bytes of its text's SHA-256, its repository's key, its bytes in the source,
its position in its input."""
_BATCH: Final = 4096


class RowWriter:
    """Appends tuples to a file as rows of a structured type."""

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any]) -> None:
        self._file, self._dtype = file, dtype
        self._rows: list[tuple[Any, ...]] = []

    def add(self, *row: Any) -> None:
        """Append a row."""
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        self._file.write(np.array(self._rows, self._dtype).tobytes())
        self._rows.clear()


def open_rows(path: Path, dtype: np.dtype[Any] = ROW) -> np.ndarray:
    """The rows of a file, mapped into memory."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")


def halves(digest: bytes) -> tuple[int, int]:
    """The first 16 bytes of a digest, as a row holds them."""
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")


def repository_key(name: str) -> int:
    """Eight bytes that stand for a repository's name. Two names of ten million share one with a chance of 3e-6; they
    would then be kept or dropped together."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def place_of(repository: str, seed: int) -> int:
    """Where a repository stands in the corpus: a random number of 64 bits, from its name and a seed alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0place\0{repository}".encode(), digest_size=8).digest(), "big")


def mixed(numbers: np.ndarray) -> np.ndarray:
    """A hash of each number: uint64 [n] (the finalizer of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


class Partitions:
    """Rows divided among files by the leading bits of a uint64, so that each file fits into memory.

    `with Partitions(folder, count, dtype) as parts: parts.add(rows, keys)…; for rows in parts.read(): …`
    """

    def __init__(self, folder: Path, count: int, dtype: np.dtype[Any]) -> None:
        self._bits = max(0, (count - 1).bit_length())
        self._dtype = dtype
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = [folder / f"part-{number:05d}" for number in range(1 << self._bits)]
        for path in self.paths:
            path.unlink(missing_ok=True)

    def add(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Append rows to the partitions of their keys."""
        if not self._bits:
            _append(self.paths[0], rows)
            return
        part = (keys >> np.uint64(64 - self._bits)).astype(np.int64)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(len(self.paths) + 1))
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            _append(self.paths[number], rows[order[bounds[number] : bounds[number + 1]]])

    def read(self) -> Sequence[np.ndarray]:
        """Each partition's rows, in the order in which they were added; lazily."""
        return _Lazy(self.paths, self._dtype)

    def remove(self) -> None:
        """Delete the files."""
        for path in self.paths:
            path.unlink(missing_ok=True)


class _Lazy(Sequence[np.ndarray]):
    def __init__(self, paths: list[Path], dtype: np.dtype[Any]) -> None:
        self._paths, self._dtype = paths, dtype

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: Any) -> Any:
        path = self._paths[number]
        return np.fromfile(path, self._dtype) if path.exists() else np.zeros(0, self._dtype)


def _append(path: Path, rows: np.ndarray) -> None:
    with path.open("ab") as file:
        file.write(rows.tobytes())
