"""Secrets and personal data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScrubConfig:
    """Secrets and personal data."""

    enabled: bool = True
    """Whether the step runs."""
