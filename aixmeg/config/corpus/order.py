"""Order of the files in a repository."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """Order of the files in a repository."""

    enabled: bool = True
    """Whether the step runs."""
