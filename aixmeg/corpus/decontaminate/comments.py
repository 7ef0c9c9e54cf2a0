"""What comments look like in a language, for csrc/data/ngrams.cpp."""

from __future__ import annotations

import ctypes
import functools
from typing import Final

from aixmeg.languages import LANGUAGES
from aixmeg.native.library import data_library


class Comments(ctypes.Structure):
    """AixmegComments; marks of at most four bytes, empty for none."""

    _fields_ = [
        ("line", ctypes.c_char * 4),
        ("open", ctypes.c_char * 4),
        ("close", ctypes.c_char * 4),
        ("triple_quotes", ctypes.c_int32),
    ]  # fmt: skip


_BLOCKS: Final = {"//": (b"/*", b"*/"), "sql": (b"/*", b"*/"), "haskell": (b"{-", b"-}"), "lua": (b"--[[", b"]]")}


@functools.cache
def comments_of(language: str) -> Comments:
    """The form of a language of the table; of an unknown one, nothing is a comment."""
    row = LANGUAGES.get(language)
    if row is None or row.path_comment is None:
        return Comments()
    mark, _, behind = row.path_comment.partition("{}")
    if "{}" in behind:  # {{}}: braces around braces
        mark, behind = "{", "}"
    if behind.strip():
        return Comments(b"", mark.strip().encode(), behind.strip().encode(), 0)
    opens, closes = _BLOCKS.get(language) or _BLOCKS.get(mark.strip()) or (b"", b"")
    return Comments(mark.strip().encode(), opens, closes, int(language == "python"))


def strip_comments(content: bytes, language: str) -> bytes:
    """The code without comments (in Python also without strings in three quotes), a blank for each of them."""
    out = ctypes.create_string_buffer(max(1, len(content)))
    function = data_library().aixmeg_strip_comments
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(Comments), ctypes.c_void_p]
    function.restype = ctypes.c_size_t
    return ctypes.string_at(out, function(content, len(content), comments_of(language), out))
