"""Sorting what does not fit in memory: rows go to files by a key, and each file is then handled on its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np

from aixmeg.files import write_error

_MAX_PARTITIONS: Final = 1024
_SORT_FACTOR: Final = 6
"""Memory that sorting a partition takes, in times of its size: the rows, their order, the sorted copy, masks."""


class Spill:
    """Rows of one structured type in partitions. Rows of one partition keep the order in which they were added."""

    def __init__(self, folder: Path, rows: np.dtype, *, expected: int, memory: int) -> None:
        """`expected` rows in all, so many that each partition is sorted within `memory` bytes."""
        self._folder, self._type = folder, rows
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.partitions = int(min(_MAX_PARTITIONS, max(1, -(-expected * rows.itemsize * _SORT_FACTOR // memory))))
        self._files = [(folder / f"{number:04d}").open("ab") for number in range(self.partitions)]
        self.count = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def by_hash(self, hashes: np.ndarray) -> np.ndarray:
        """Partition of well-mixed 64-bit hashes."""
        return ((hashes >> np.uint64(40)) * np.uint64(self.partitions)) >> np.uint64(24)

    def share_out(self, numbers: np.ndarray, limit: int) -> np.ndarray:
        """Partition of numbers below `limit`: ascending with them."""
        return numbers.astype(np.uint64) * np.uint64(self.partitions) // np.uint64(max(1, limit))

    def add(self, rows: np.ndarray, partition: np.ndarray) -> None:
        """Append rows to the partitions that are named beside them.

        Raises:
            UserError: the disk is full.
        """
        self.count += len(rows)
        try:
            if self.partitions == 1:
                self._files[0].write(rows.tobytes())
                return
            order = np.argsort(partition, kind="stable")
            rows = rows[order]
            ends = np.searchsorted(partition[order], np.arange(self.partitions), side="right")
            for file, start, end in zip(self._files, [0, *ends[:-1]], ends, strict=True):
                if end > start:
                    file.write(rows[start:end].tobytes())
        except OSError as error:
            raise write_error(self._folder, error) from error

    def __iter__(self) -> Iterator[np.ndarray]:
        """The partitions, in order; may be read again."""
        for file in self._files:
            file.flush()
            yield np.fromfile(file.name, self._type)
