"""Syntax trees as bytes beside the text, so that a file is parsed once and read many times.

`unpack(pack(tree), tree.language, tree.source)` is the whole tree: every node, anonymous tokens and errors included,
every column equal, `error_bytes` too. Whatever is drawn from a parsed tree is drawn from the stored one.

A blob belongs to one text and one grammar, which it knows by their length and a fingerprint: other text or another
release of the grammars make `unpack` raise `StaleSyntax`, and the caller parses again.

    "AST" and the format's number        4 bytes
    fingerprint of the grammar's names   u32
    n, bytes of source, error bytes, bytes of codes, bytes of rest   u32 each
    zlib of codes and rest               csrc/data/tree_store.cpp says what they are
"""

from __future__ import annotations

import ctypes
import functools
import struct
import zlib
from typing import Final

import numpy as np

from aixmeg.errors import UserError
from aixmeg.languages import Language
from aixmeg.native.library import data_library
from aixmeg.syntax.columns import make_columns
from aixmeg.syntax.tree import SyntaxTree, names, tree_of

_MAGIC: Final = b"AST\x01"
_HEADER: Final = struct.Struct("<4s6I")
_NODE_BYTES: Final = 27
"""The most that a node takes in the streams."""
_LEVEL: Final = 1


class StaleSyntax(UserError):
    """A stored tree that is not of this text, this grammar or this version, or is damaged."""


def pack(tree: SyntaxTree) -> bytes:
    """The tree as bytes, about a tenth of the source's length."""
    n = len(tree.start)
    streams = np.empty(_NODE_BYTES * n, np.uint8)  # pages that are not written to are never there
    lengths = (ctypes.c_int64 * 2)()
    _library().aixmeg_tree_pack(n, *_columns_of(tree), tree.source, len(tree.source), streams.ctypes.data, lengths)
    codes_length, rest_length = lengths
    body = zlib.compress(streams[: codes_length + rest_length].data, _LEVEL)
    header = _HEADER.pack(
        _MAGIC, _fingerprint(tree.language), n, len(tree.source), tree.error_bytes, codes_length, rest_length
    )
    return header + body


def unpack(blob: bytes, language: Language, source: bytes) -> SyntaxTree:
    """The tree of `source` that `pack` stored.

    Raises:
        StaleSyntax: `blob` is not of this source and grammar.
        UserError: the language has no grammar.
    """
    if len(blob) < _HEADER.size:
        raise StaleSyntax(f"a stored syntax tree has at least {_HEADER.size} bytes, this one {len(blob)}; parse again")
    magic, fingerprint, n, length, error_bytes, codes, rest = _HEADER.unpack_from(blob)
    if magic != _MAGIC or fingerprint != _fingerprint(language) or length != len(source):
        raise StaleSyntax(
            f"the stored syntax tree is of {length} bytes in another grammar or format, "
            f"not of these {len(source)} bytes of {language.name}; parse again"
        )
    # Each node has a code, and no code means more than one node: a damaged header asks for no more memory than that.
    streams = _inflate(blob[_HEADER.size :], codes + rest) if n <= codes else b""
    if len(streams) != codes + rest or not n:
        raise _damaged(language)
    columns, block = make_columns(n)
    if _library().aixmeg_tree_unpack(streams, codes, rest, source, length, n, block.ctypes.data):
        raise _damaged(language)
    return tree_of(language, source, columns, error_bytes)


def nodes_after(tree: SyntaxTree) -> np.ndarray:
    """Index behind the last node inside each node, int32 [n]: the children of i are i + 1, then the one after it …"""
    after = np.empty(len(tree.parent), np.int32)
    _library().aixmeg_tree_after(len(after), tree.parent.ctypes.data, after.ctypes.data)
    return after


def _inflate(body: bytes, length: int) -> bytes:
    """At most one byte more than `length`."""
    try:
        return zlib.decompressobj().decompress(body, length + 1)
    except zlib.error:
        return b""


def _damaged(language: Language) -> StaleSyntax:
    return StaleSyntax(f"the stored syntax tree of {language.name} is damaged; parse again")


def _columns_of(tree: SyntaxTree) -> list[int]:
    return [
        column.ctypes.data for column in (tree.start, tree.end, tree.parent, tree.kind, tree.field, tree.flags)
    ]  # fmt: skip


def _fingerprint(language: Language) -> int:
    found = _fingerprints.get(language.grammar)
    if found is None:
        kinds, fields = names(language)
        found = zlib.crc32("\0".join((language.grammar or "", *kinds, *fields)).encode())
        _fingerprints[language.grammar] = found
    return found


_fingerprints: Final[dict[str | None, int]] = {}


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    library.aixmeg_tree_pack.restype = None
    library.aixmeg_tree_pack.argtypes = [size, *[pointer] * 6, ctypes.c_char_p, size, pointer, pointer]
    library.aixmeg_tree_after.restype, library.aixmeg_tree_after.argtypes = None, [size, pointer, pointer]
    library.aixmeg_tree_unpack.restype = ctypes.c_int32
    library.aixmeg_tree_unpack.argtypes = [ctypes.c_char_p, size, size, ctypes.c_char_p, size, size, pointer]
    return library
