"""How examples fill training samples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """How examples fill training samples."""
