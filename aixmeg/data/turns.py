"""Several builds of one corpus, whose examples have other middles, trained on in turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from aixmeg.config.sections import DocumentUnit
from aixmeg.data.stream import TrainDataset


def epoch_folder(data: Path, number: int) -> Path:
    """Where the build of one epoch lies: DATA, then DATA/epoch-1 …"""
    return data / f"epoch-{number}" if number else data


class Turns:
    """The first epoch of each data set, one set after the other; then the second epoch of each …

    Args:
        datasets: of the builds, in order.
    """

    def __init__(self, datasets: Sequence[TrainDataset]) -> None:
        self._datasets = datasets
        self._ends = list(accumulate(one.samples_per_epoch for one in datasets))

    @property
    def samples_per_epoch(self) -> int:
        """Samples until the first set comes again."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> np.ndarray:
        """Sample `index`, int64 [S + 1]."""
        dataset, inner = self._place(index)
        return dataset[inner]

    def filled(self, index: int) -> int:
        """Tokens of sample `index` that are not padding."""
        dataset, inner = self._place(index)
        return dataset.filled(inner)

    def kinds(self, index: int) -> np.ndarray:
        """What the labels of sample `index` are, uint8 [S]."""
        dataset, inner = self._place(index)
        return dataset.kinds(inner)

    def documents(self, index: int, unit: DocumentUnit) -> np.ndarray:
        """Where examples or repositories begin among the inputs of sample `index`, int64, from 0."""
        dataset, inner = self._place(index)
        return dataset.documents(inner, unit)

    def _place(self, index: int) -> tuple[TrainDataset, int]:
        if index < 0:
            raise IndexError(index)
        turn, position = divmod(index, self._ends[-1])
        number = bisect_right(self._ends, position)
        dataset = self._datasets[number]
        return dataset, turn * dataset.samples_per_epoch + position - (self._ends[number] - dataset.samples_per_epoch)
