"""Near-duplicate files and repositories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_PERMUTATIONS = (64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, kw_only=True)
class NearConfig:
    """Near-duplicate files and repositories."""

    enabled: bool = True
    """Whether the step runs."""
    threshold: float = 0.85
    """Jaccard similarity of two files' word 5-grams from which the worse one is dropped as `near_duplicate`."""
    permutations: int = 512
    """Values of a MinHash signature, two bytes each, a power of two; the similarity of 0.85 is estimated with a
    standard error of sqrt(0.85 * 0.15 / permutations), 0.016 for 512."""
    recall: float = 0.99
    """Share of the pairs at or above the threshold, averaged over their similarities, that the bands must find; the
    bands and rows follow from it."""
    repository_threshold: float = 0.4
    """Share of the bytes of either of two repositories in files that are alike and have the same name, from which the
    worse one is dropped whole as `repository_duplicate`; above 1.0 drops none."""
    memory_bytes: int = 1 << 30
    """Memory for sorting; what does not fit is partitioned through files."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        if not 0.0 < self.threshold <= 1.0:
            yield f"{where}.threshold={self.threshold} must be above 0 and at most 1; 0.85 is usual"
        if self.permutations not in _PERMUTATIONS:
            known = ", ".join(map(str, _PERMUTATIONS))
            yield f"{where}.permutations={self.permutations} must be a power of two; choose one of {known}"
        if not 0.0 < self.recall < 1.0:
            yield f"{where}.recall={self.recall} must be between 0 and 1, both excluded; 0.99 is usual"
        if self.repository_threshold <= 0.0:
            yield f"{where}.repository_threshold={self.repository_threshold} must be positive; above 1.0 drops none"
        if self.memory_bytes < 1 << 20:
            yield f"{where}.memory_bytes={self.memory_bytes} must be at least 1048576 (1 MiB)"
