"""Bugs and vulnerabilities found by static analysis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DefectsConfig:
    """Bugs and vulnerabilities found by static analysis."""

    enabled: bool = True
    """Whether the step runs."""
