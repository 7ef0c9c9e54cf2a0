"""Which licences are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LicenceConfig:
    """Which licences are kept."""

    enabled: bool = True
    """Whether the step runs."""
