"""Statistics of a file's bytes and lines (csrc/data/line_stats.cpp)."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

from aixmeg.native.library import data_library


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one pass over a file counts; all in bytes unless said otherwise."""

    bytes: int
    lines: int
    """Lines, the last one too if it does not end in a line feed."""
    blank: int
    """Lines of white space alone."""
    longest: int
    """The longest line, without its line feed."""
    in_long_lines: int
    """In lines of more than 1,000 bytes."""
    alphanumeric: int
    """ASCII letters and digits, and all of non-ASCII characters."""
    space: int
    """White space."""
    numbers: int
    """Words that begin with a digit: 12, 0xff, 1.5e3f."""
    coded: int
    """Unbroken runs of 60 or more base64 or hexadecimal characters that mix digits and letters."""
    quoted: int
    """Between quotes that close on their line."""
    commas: int

    @property
    def mean_line(self) -> float:
        """Mean length of the lines that are not blank."""
        return (self.bytes - self.lines) / max(1, self.lines - self.blank)

    @property
    def visible(self) -> int:
        """All but white space."""
        return self.bytes - self.space


def statistics(content: bytes) -> Statistics:
    """Count a file."""
    out = (ctypes.c_int64 * 10)()
    _library().aixmeg_line_stats(content, len(content), out)
    return Statistics(len(content), *out)


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    library.aixmeg_line_stats.restype = None
    library.aixmeg_line_stats.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p]
    return library
