"""Sizes that hold for every kind of source."""

from __future__ import annotations

from typing import Final

RANGE_BYTES: Final = 16 << 20
"""Source bytes of an input: a second or two of parsing, and what a worker may hold."""
RANGE_FILES: Final = 4096
ALWAYS_EXPANDS: Final = 64 << 20
"""Bytes that a compressed file may expand to, however small it is."""
EXPANSION: Final = 4
"""Times its size that a compressed file of source code expands to: for estimates."""
