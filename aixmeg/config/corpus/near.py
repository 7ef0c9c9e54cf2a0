"""Near-duplicate files and repositories."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NearConfig:
    """Near-duplicate files and repositories."""

    enabled: bool = True
    """Whether the step runs."""
