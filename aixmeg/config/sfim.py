"""Structured fill-in-the-middle: strategies and sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SfimConfig:
    """Structured fill-in-the-middle: strategies and sizes."""
