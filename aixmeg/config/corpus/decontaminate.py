"""Overlap with evaluation sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DecontaminateConfig:
    """Overlap with evaluation sets."""

    enabled: bool = True
    """Whether the step runs."""
