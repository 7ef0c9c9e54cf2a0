"""Natural-language documents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProseConfig:
    """Natural-language documents."""

    enabled: bool = True
    """Whether the step runs."""
