"""How many bands of how many rows: from the recall that is asked for.

A pair of similarity s agrees in all r rows of a band with probability s^r, and so becomes a candidate in at least one
of b bands with 1 - (1 - s^r)^b: the S-curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aixmeg.config.corpus import NearConfig
from aixmeg.errors import UserError

_MAX_BANDS = 64
"""More bands cost 12 bytes each per file, and more similar rows find little more."""
_POINTS = 401


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The bands of a signature, and what they find. Verification then removes the false candidates."""

    bands: int
    rows: int
    recall: float
    """Of the pairs at or above the threshold, averaged over their similarities."""
    recall_at_threshold: float
    """Of the pairs exactly at the threshold: the worst case."""
    false_candidates: float
    """Share of the pairs below the threshold, averaged over their similarities, that must be verified in vain."""
    standard_error: float
    """Of the estimated similarity that verifies a pair, at the threshold."""

    def finds(self, similarity: np.ndarray | float) -> np.ndarray:
        """Probability that a pair of this similarity becomes a candidate."""
        return s_curve(np.asarray(similarity), self.bands, self.rows)


def s_curve(similarity: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """1 - (1 - s^rows)^bands."""
    with np.errstate(divide="ignore"):  # log(0) of equal files
        return -np.expm1(bands * np.log1p(-(similarity**rows)))


def choose_bands(config: NearConfig) -> Bands:
    """The bands that reach `config.recall` with the fewest false candidates.

    Raises:
        UserError: the signature is too short for the recall.
    """
    above = np.linspace(config.threshold, 1.0, _POINTS)
    below = np.linspace(0.0, config.threshold, _POINTS)
    best: Bands | None = None
    for rows in range(1, config.permutations + 1):
        most = min(_MAX_BANDS, config.permutations // rows)
        enough = (b for b in range(1, most + 1) if _mean(s_curve(above, b, rows)) >= config.recall)
        if (bands := next(enough, None)) is None:
            break  # more rows in fewer bands find less
        false = _mean(s_curve(below, bands, rows))
        if best is None or false < best.false_candidates:
            best = Bands(
                bands=bands,
                rows=rows,
                recall=_mean(s_curve(above, bands, rows)),
                recall_at_threshold=float(s_curve(above[:1], bands, rows)[0]),
                false_candidates=false,
                standard_error=float(np.sqrt(config.threshold * (1 - config.threshold) / config.permutations)),
            )
    if best is None:
        raise UserError(
            f"near.permutations={config.permutations} is too small for near.recall={config.recall} at a threshold of "
            f"{config.threshold}; raise permutations or lower recall"
        )
    return best


def _mean(values: np.ndarray) -> float:
    """Mean over the interval (trapezoids)."""
    return float((values[:-1] + values[1:]).mean() / 2)
