"""Several datasets as one, mixed by weight: which dataset sample i comes from is a function of i and the weights.

With integer weights w_k that add up to W, dataset k has n · w_k / W of the first n samples, rounded up or down, for
every n. So its j-th sample, from 0, comes at floor(j · W / w_k) or later and before ceil((j + 1) · W / w_k). These
windows are the jobs of a proportionate-fair schedule on one processor (Baruah, Cohen, Plaxton and Varvel, Algorithmica
15, 1996), and earliest deadline first meets them all. The schedule repeats after W samples, so that one turn of it, W
small numbers, answers for any i. Inside a dataset, samples come in its own order, epoch after epoch.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from aixmeg.config.sections import DocumentUnit


class Part(Protocol):
    """A dataset of a blend, or a blend."""

    def __getitem__(self, index: int, /) -> np.ndarray:
        """Sample `index`, int64 [S + 1], counted over all epochs."""
        ...

    def filled(self, index: int, /) -> int:
        """How many of its tokens are not padding."""
        ...

    def kinds(self, index: int, /) -> np.ndarray:
        """What its labels are, uint8 [S]."""
        ...

    def documents(self, index: int, unit: DocumentUnit, /) -> np.ndarray:
        """Where examples or repositories begin among its inputs, int64, from 0."""
        ...


class Blend:
    """The datasets' samples, taken in turn.

    Args:
        datasets: what is mixed.
        shares: positive integers, one per dataset.
    """

    def __init__(self, datasets: Sequence[Part], shares: Sequence[int]) -> None:
        self._datasets, self._shares = datasets, tuple(shares)
        self._order = one_turn(shares)
        self._before = np.empty(len(self._order), np.int32)
        """At each place of a turn, how many samples of its dataset stand before it in the turn."""
        for number, share in enumerate(shares):
            self._before[self._order == number] = np.arange(share)

    def __getitem__(self, index: int) -> np.ndarray:
        """Sample `index`, int64 [S + 1]."""
        number, inner = self.place(index)
        return self._datasets[number][inner]

    def filled(self, index: int) -> int:
        """Tokens of sample `index` that are not padding."""
        number, inner = self.place(index)
        return self._datasets[number].filled(inner)

    def kinds(self, index: int) -> np.ndarray:
        """What the labels of sample `index` are, uint8 [S]."""
        number, inner = self.place(index)
        return self._datasets[number].kinds(inner)

    def documents(self, index: int, unit: DocumentUnit) -> np.ndarray:
        """Where examples or repositories begin among the inputs of sample `index`, int64, from 0."""
        number, inner = self.place(index)
        return self._datasets[number].documents(inner, unit)

    def place(self, index: int) -> tuple[int, int]:
        """Number of the dataset that sample `index` comes from, and which of its samples it is."""
        if index < 0:
            raise IndexError(index)
        turn, position = divmod(index, len(self._order))
        number = int(self._order[position])
        return number, turn * self._shares[number] + int(self._before[position])


def one_turn(shares: Sequence[int]) -> np.ndarray:
    """The dataset of each of the first sum(shares) samples, int16: earliest deadline first, the first of equal ones."""
    total = sum(shares)
    order = np.empty(total, np.int16)
    # (first place at which the dataset's next sample may come, its number, which sample of the dataset that is)
    waiting = [(0, number, 0) for number in range(len(shares))]
    ready: list[tuple[int, int, int]] = []  # (place before which it must come, number, which sample)
    for place in range(total):
        while waiting and waiting[0][0] <= place:
            _, number, count = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(count + 1) * total // shares[number]), number, count))
        _, number, count = heapq.heappop(ready)
        order[place] = number
        if count + 1 < shares[number]:
            heapq.heappush(waiting, ((count + 1) * total // shares[number], number, count + 1))
    return order
