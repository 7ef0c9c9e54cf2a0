"""Every scanned file with the decision on it, in files.

A byte per file says what was decided of it: 0 keeps it, others count from 1 in the list of `REASONS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from aixmeg.corpus.job import Job
from aixmeg.corpus.judge import LICENCE_REASONS
from aixmeg.corpus.repositories import Gathered
from aixmeg.corpus.rows import ROW, Partitions, open_rows
from aixmeg.files import atomic_write

REASONS: Final = (
    *(("licence", reason) for reason in LICENCE_REASONS),
    ("rank", "low_rank"),
    ("near", "repository_duplicate"),
    ("exact", "exact_duplicate"),
    ("near", "near_duplicate"),
    ("budget", "over_repository_budget"),
)
"""Step and reason of each decision, counted from 1."""
CODE: Final = {reason: code for code, (_, reason) in enumerate(REASONS, 1)}
"""Reason → code."""
FILES_IN_MEMORY: Final = 1 << 20
"""Files that are compared at once."""


class Files:
    """The scanned files of all inputs, numbered in input order, with the decision on each."""

    def __init__(self, job: Job) -> None:
        self._job = job
        counts = [job.at("scan", shard, "rows").stat().st_size // ROW.itemsize for shard in range(job.shards("scan"))]
        self.bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype("<u8")
        """Number of the first file of each input, and of all."""
        self.count = int(self.bounds[-1])
        decide = job.folder / "decide"
        with atomic_write(decide / "bounds", "wb") as file:
            file.write(self.bounds.tobytes())
        self._path = decide / "decisions"
        self._path.write_bytes(b"")
        with self._path.open("r+b") as file:
            file.truncate(self.count)
        self.decisions = np.memmap(self._path, np.uint8, mode="r+") if self.count else np.zeros(0, np.uint8)
        """0 keeps a file: uint8 [count]."""

    def partitions(self, name: str, dtype: np.dtype[Any]) -> Partitions:
        """Partitions of all files, each of which fits into memory."""
        return Partitions(self._job.folder / "decide" / name, -(-self.count // FILES_IN_MEMORY), dtype)

    def shards(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Of each input: the number of its first file, rows, decisions."""
        for shard in range(len(self.bounds) - 1):
            first, behind = int(self.bounds[shard]), int(self.bounds[shard + 1])
            if behind > first:
                yield first, open_rows(self._job.at("scan", shard, "rows")), self.decisions[first:behind]

    def close(self) -> None:
        """Write the decisions."""
        if isinstance(self.decisions, np.memmap):
            self.decisions.flush()


@dataclass(frozen=True)
class Ranked:
    """The repositories, m of them, by row of `Gathered`."""

    gathered: Gathered
    names: list[str]
    worse: np.ndarray
    """Number of repositories ranked before it, of those that have files; others come last: uint32 [m]. Of two copies of
    a file that of the lower number is kept."""
    takes_part: np.ndarray
    """Whether it has files that are kept so far: bool [m]."""

    def worse_of(self, keys: np.ndarray) -> np.ndarray:
        """`worse` by key."""
        return self.worse[self.gathered.rows(keys)]

    def best_first(self) -> list[str]:
        """Names of the repositories that take part."""
        rows = np.flatnonzero(self.takes_part)
        return [self.names[row] for row in rows[np.argsort(self.worse[rows], kind="stable")].tolist()]
