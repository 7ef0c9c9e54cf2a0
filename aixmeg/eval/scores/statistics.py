"""pass@k without bias, and confidence intervals by resampling tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aixmeg.errors import UserError

_BLOCK = 4_000_000  # resampled values held at once


@dataclass(frozen=True)
class Interval:
    """A mean and where it would fall for another draw of as many tasks."""

    mean: float
    low: float
    high: float


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Probability that one of `k` of the samples passes: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021).

    Raises:
        UserError: fewer than `k` samples.
    """
    if not 1 <= k <= samples or not 0 <= correct <= samples:
        raise UserError(f"pass@{k} of {samples} samples, {correct} of them correct, is not defined; take k <= samples")
    if samples - correct < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - correct + 1, samples + 1)))


def bootstrap(values: Sequence[float], *, seed: int = 0, resamples: int = 10_000, level: float = 0.95) -> Interval:
    """Percentile interval of the mean: tasks are drawn with replacement, `resamples` times.

    The same values and seed give the same interval.

    Raises:
        UserError: no values.
    """
    if not len(values):
        raise UserError("no task was scored, so there is no mean")
    data = np.asarray(values, np.float64)
    draw = np.random.default_rng(seed)
    rows = max(1, min(resamples, _BLOCK // len(data)))
    means = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        means.append(data[draw.integers(0, len(data), (count, len(data)))].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(data.mean()), float(low), float(high))
