"""A measured series, thinned for drawing: no point that a reader could see is lost, and no choice is random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aixmeg.report import numbers
from aixmeg.report.scale import Values


@dataclass(frozen=True)
class Series:
    """Values over steps; `x` rises strictly."""

    name: str
    """Shown in the legend."""
    style: str
    """CSS class that gives the colour and the dash."""
    x: Values
    y: Values
    marks: bool = False
    """Draw a dot at each value."""
    faint: bool = False
    """Background detail: drawn thin and left out of the tooltip."""


def spoken(title: str, series: Sequence[Series]) -> str:
    """What a screen reader says instead of the curve."""
    parts = []
    for s in series:
        finite = np.flatnonzero(np.isfinite(s.y))
        if s.faint or not len(finite):
            continue
        ends = [
            f"{numbers.scientific(float(s.y[i]))} at step {numbers.count(float(s.x[i]))}"
            for i in (finite[0], finite[-1])
        ]
        parts.append(f"{s.name} from " + " to ".join(ends))
    return f"{title} over steps: " + "; ".join(parts)


def thin(x: Values, y: Values, limit: int = 800) -> tuple[Values, Values]:
    """At most `limit` points: of each stretch the least and the greatest value, in order, so that spikes remain.

    The first and the last point are kept. A stretch without any finite value keeps one NaN, which interrupts the line.
    """
    if len(x) <= limit:
        return x, y
    edges = np.linspace(0, len(x), (limit - 2) // 2 + 1).astype(np.int64)
    keep = {0, len(x) - 1}
    finite = np.isfinite(y)
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if not finite[start:stop].any():
            keep.add(start)
            continue
        stretch = np.where(finite[start:stop], y[start:stop], np.nan)
        keep |= {start + int(np.nanargmin(stretch)), start + int(np.nanargmax(stretch))}
    index = np.array(sorted(keep))
    return x[index], y[index]


def moving_mean(y: Values, window: int) -> Values:
    """Mean of the usable values among about `window` around each, so that the curve does not lag; NaN without any.

    NaN is not usable, nor is a value a thousand times the median: a loss of 1e30 would swallow every digit of the
    running sum after it.
    """
    size = np.where(np.isfinite(y), np.abs(y), np.inf)
    finite = size[np.isfinite(size)]
    usable = size <= 1000 * (np.median(finite) or np.max(finite)) if len(finite) else np.zeros(len(y), bool)
    sums = np.concatenate([[0.0], np.cumsum(np.where(usable, y, 0.0))])
    counts = np.concatenate([[0], np.cumsum(usable)])
    start = np.maximum(np.arange(len(y)) - window // 2, 0)
    stop = np.minimum(np.arange(len(y)) + window // 2 + 1, len(y))
    number = counts[stop] - counts[start]
    with np.errstate(all="ignore"):
        return np.where(number > 0, (sums[stop] - sums[start]) / number, np.nan)
