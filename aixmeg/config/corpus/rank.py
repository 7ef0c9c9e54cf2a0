"""Repository ranking by stars, commits and tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RankConfig:
    """Repository ranking by stars, commits and tests."""

    enabled: bool = True
    """Whether the step runs."""
