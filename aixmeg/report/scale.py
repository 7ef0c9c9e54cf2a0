"""Axes: a range of values, where each value lies in it, and round numbers for its ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
# Beyond this a difference of two values could overflow; a diverged run is drawn at the edge.
_LIMIT = 1e100


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, drawn evenly or by their logarithm."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, values: Values) -> Values:
        """Where values lie: 0.0 at `low`, 1.0 at `high`; NaN for what the axis cannot show."""
        with np.errstate(all="ignore"):
            if not self.log:
                return (np.where(np.isfinite(values), values, np.nan) - self.low) / (self.high - self.low)
            logarithm = np.where(np.isfinite(values) & (values > 0), np.log10(values), np.nan)
            return (logarithm - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))


def linear_axis(values: Values, *, zero: bool = False, parts: int = 4) -> Axis:
    """An axis between round numbers around the finite values, in about `parts`; `zero` makes it start at 0."""
    low, high = _range(values)
    low = min(low, 0.0) if zero else low
    if _is_one_value(low, high):  # show it in the middle
        margin = abs(low) * 0.1 or 1.0
        low, high = low - (0.0 if zero else margin), high + margin
    step = _step((high - low) / parts)
    ticks = tuple(float(f"{i * step:.12g}") for i in range(math.floor(low / step), math.ceil(high / step) + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def step_axis(steps: Values) -> Axis:
    """An axis from the first to the last step, with ticks on whole numbers; a run from its beginning starts at 0."""
    low, high = _range(steps)
    low, high = float(math.floor(low)), float(math.ceil(high))
    low = 0.0 if 0 < low < 0.1 * high else low
    if _is_one_value(low, high):
        margin = max(1.0, 1e-6 * abs(low))  # a float beyond 2**53 does not change by 1
        low, high = low - margin, high + margin
    step = max(1.0, _step((high - low) / 4))
    ticks = (float(i * step) for i in range(math.ceil(low / step), math.floor(high / step) + 1))
    return Axis(low, high, tuple(ticks))


def log_axis(values: Values) -> Axis:
    """A logarithmic axis over the positive values; linear where they span less than a factor of three."""
    positive = values[np.isfinite(values) & (values > 1 / _LIMIT)]
    low, high = _range(positive)
    if not len(positive) or high < 3 * low:
        return linear_axis(values, zero=True)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = (1, 2, 5) if high / low < 1000 else (1,)
    rounds = [m * 10.0**e for e in exponents for m in marks]
    below = max((r for r in rounds if r <= low), default=low)
    above = min((r for r in rounds if r >= high), default=high)
    ticks = [r for r in rounds if below <= r <= above]
    every = math.ceil(len(ticks) / 6)
    return Axis(below, above, tuple(float(f"{t:.12g}") for t in ticks[::every]), log=True)


def _range(values: Values) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    return float(np.clip(finite.min(), -_LIMIT, _LIMIT)), float(np.clip(finite.max(), -_LIMIT, _LIMIT))


def _is_one_value(low: float, high: float) -> bool:
    return high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-300)


def _step(rough: float) -> float:
    """The round number 1, 2 or 5 × 10ⁿ at or above `rough`, so that an axis has few ticks."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
