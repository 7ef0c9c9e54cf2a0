"""Repository ranking by stars, commits and tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RankConfig:
    """Repository ranking by stars, commits and tests."""

    enabled: bool = True
    """Whether the step runs."""
    drop_share: float = 0.10
    """Share of the repositories, those of the lowest score, that is dropped as `low_rank`; 0 drops none."""
    signals: tuple[str, ...] = ("stars", "commits", "test_files")
    """What the score is the mean of: names of signals, also of columns of the metadata file; more is better."""
    min_repositories: int = 10
    """With fewer repositories none is dropped, since ranks among them mean little."""
    metadata: Path | None = None
    """JSON, JSON lines or CSV file of repository → stars, commits …; its numbers come before those that the sources
    give; null means none."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        if not 0.0 <= self.drop_share < 1.0:
            yield f"{where}.drop_share={self.drop_share} must be at least 0 and below 1"
        if self.enabled and not self.signals:
            yield f"{where}.signals is empty; name at least one of stars, commits, test_files, or disable the step"
        if self.min_repositories < 1:
            yield f"{where}.min_repositories={self.min_repositories} must be positive"
