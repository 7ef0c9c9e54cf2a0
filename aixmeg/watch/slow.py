"""Slow ranks, by the time of a step that is a rank's own: its data, and its forward and backward passes, without the
wait for other ranks' gradients.

Every rank reduces a window of steps to its medians, which single slow steps do not move. Rank 0 compares them. With the
ranks' median m and the median distance d from it (of two values the lower one, so that of two ranks one can be slow), a
rank is slow when its own time lies above m + max(share · m, 3 · d).

Ranks of one pipeline stage are compared, since other stages have other work. Within a step tensor- and
context-parallel ranks and stages wait for each other, so that a slow one makes its whole group slow; the data of a step
is read before that, and is compared over all ranks by the same limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median, median_low
from typing import Any

_KEPT = 4
"""Windows that are waited for at a time; a rank that missed one does not keep the others' for ever."""


class OwnTimes:
    """One rank's times; `add` is the training thread's.

    Args:
        window: steps.
        stage: pipeline stage of the rank.
    """

    def __init__(self, window: int, stage: int) -> None:
        self._window, self._stage = window, stage
        self._data: list[float] = []
        self._compute: list[float] = []

    def add(self, step: int, data: float, compute: float) -> dict[str, Any] | None:
        """Seconds of a step; what the others should hear, at the end of a window."""
        self._data.append(data)
        self._compute.append(compute)
        if len(self._data) < self._window:
            return None
        whole = [one + other for one, other in zip(self._data, self._compute, strict=True)]
        found = {"step": step, "stage": self._stage, "data": median(self._data), "own": median(whole)}
        self._data, self._compute = [], []
        return found


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A window of all ranks."""

    step: int
    """Its last one."""
    steps: int
    own: tuple[float, ...]
    """Median seconds of each rank's own."""
    data: tuple[float, ...]
    """Of them, those of its data."""
    slow: Mapping[int, float]
    """Slow ranks → seconds above the median."""

    def line(self, rank: int) -> str:
        """Of a slow rank, for people; times in milliseconds."""
        own, data, above = (1000 * value for value in (self.own[rank], self.data[rank], self.slow[rank]))
        return (
            f"rank {rank} is slow: its own part of a step took {own:.1f} ms, {above:.1f} more than the median rank's, "
            f"over the {self.steps} steps to {self.step} (data {data:.1f} ms, forward and backward {own - data:.1f} ms)"
        )


class Comparer:
    """Rank 0's: gathers the windows of all ranks.

    Args:
        ranks: of the job.
        window: steps of one.
        share: of the rule.
    """

    def __init__(self, ranks: int, *, window: int, share: float) -> None:
        self._ranks, self._window, self._share = ranks, window, share
        self._open: dict[int, dict[int, dict[str, Any]]] = {}

    def add(self, rank: int, window: dict[str, Any]) -> Comparison | None:
        """One rank's window; the comparison, once it is the last rank's."""
        step = window["step"]
        gathered = self._open.setdefault(step, {})
        gathered[rank] = window
        if len(gathered) < self._ranks:
            while len(self._open) > _KEPT:
                del self._open[min(self._open)]
            return None
        del self._open[step]
        return compare([gathered[number] for number in range(self._ranks)], steps=self._window, share=self._share)


def compare(windows: list[dict[str, Any]], *, steps: int, share: float) -> Comparison:
    """Find the slow ones among the windows of all ranks, in their order."""
    own, data = (tuple(window[name] for window in windows) for name in ("own", "data"))
    stages: dict[int, list[int]] = defaultdict(list)
    for rank, window in enumerate(windows):
        stages[window["stage"]].append(rank)
    by_data = _above({rank: data[rank] for rank in range(len(windows))}, share * median_low(own))
    whole: dict[int, float] = {}
    for ranks in stages.values():
        times = {rank: own[rank] for rank in ranks}
        whole |= _above(times, share * median_low(times.values()))
    # Where the data tells who made its group wait, the group is not to blame.
    slow = whole if not by_data.keys() & whole.keys() else {rank: whole[rank] for rank in whole if rank in by_data}
    return Comparison(
        step=windows[0]["step"], steps=steps, own=own, data=data, slow=dict(sorted((by_data | slow).items()))
    )


def _above(times: Mapping[int, float], least: float) -> dict[int, float]:
    """Ranks whose time lies too far above the median → by how much; `least` seconds are never too far."""
    middle = median_low(times.values())
    distance = median_low(abs(value - middle) for value in times.values())
    limit = max(least, 3 * distance)
    return {rank: value - middle for rank, value in times.items() if value - middle > limit}
