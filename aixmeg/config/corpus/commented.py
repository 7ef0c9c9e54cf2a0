"""Commented-out code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CommentedConfig:
    """Commented-out code."""

    enabled: bool = True
    """Whether the step runs."""
