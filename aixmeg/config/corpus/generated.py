"""Generated, minified, vendored and data-like files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GeneratedConfig:
    """Generated, minified, vendored and data-like files."""

    enabled: bool = True
    """Whether the step runs."""
