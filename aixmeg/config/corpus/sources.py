"""How archives, JSON lines and Parquet files are read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SourcesConfig:
    """How archives, JSON lines and Parquet files are read."""

    enabled: bool = True
    """Whether the step runs."""
