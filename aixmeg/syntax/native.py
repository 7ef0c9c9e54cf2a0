"""Parse and walk in compiled code (csrc/syntax): the same columns as `python_walk`, several times as fast."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Iterator
from typing import Final

from aixmeg.errors import UserError
from aixmeg.languages import Language
from aixmeg.languages.grammar import grammar_address
from aixmeg.native.library import syntax_library
from aixmeg.syntax.columns import Columns, ParseLimit, make_columns, step_limit

_local: Final = threading.local()
"""An arena is for one thread at a time, and the calls release the GIL."""


def is_built() -> bool:
    """Whether the compiled walk is there and is of the installed tree-sitter's release."""
    return syntax_library() is not None


def parse_columns(language: Language, source: bytes, error_kind: int) -> tuple[Columns, int]:
    """All nodes of `source` in document order, and the number of bytes in errors."""
    library = _library()
    with _parsed(language, source) as (tree, nodes):
        columns, block = make_columns(nodes)
        found = library.aixmeg_syntax_columns(tree, nodes, error_kind, block.ctypes.data)
        assert found == nodes, f"tree-sitter announced {nodes} nodes of {language.name} and gave {found}"
        return columns, library.aixmeg_syntax_error_bytes(tree)


def parse_error_bytes(language: Language, source: bytes) -> int:
    """Bytes inside outermost error nodes, each missing token counted as one; no columns are made."""
    with _parsed(language, source) as (tree, _):
        return _library().aixmeg_syntax_error_bytes(tree)


@functools.cache
def _library() -> ctypes.CDLL:
    library = syntax_library()
    assert library is not None, "callers ask is_built first"
    pointer = ctypes.c_void_p
    types = {
        "reads": (ctypes.c_bool, [pointer]),
        "arena_new": (pointer, []),
        "arena_delete": (None, [pointer]),
        "parse": (pointer, [pointer, pointer, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64, pointer]),
        "release": (None, [pointer]),
        "error_bytes": (ctypes.c_uint64, [pointer]),
        "columns": (ctypes.c_int64, [pointer, ctypes.c_uint32, ctypes.c_uint16, pointer]),
    }
    for name, (result, arguments) in types.items():
        function = getattr(library, f"aixmeg_syntax_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class _Arena:
    """Owns the memory of one thread's trees."""

    def __init__(self) -> None:
        self._library = _library()  # kept: at the interpreter's end module globals go first
        self.address = self._library.aixmeg_syntax_arena_new()
        if not self.address:
            raise MemoryError

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._library.aixmeg_syntax_arena_delete(self.address)


@functools.cache
def _grammar(language: Language) -> int:
    """Address of a language's tables that this tree-sitter reads."""
    address = grammar_address(language)
    if not _library().aixmeg_syntax_reads(address):
        raise UserError(
            f"the tree-sitter grammar {language.grammar!r} is of an ABI that this tree-sitter does not read; "
            "install tree-sitter-language-pack==0.13.0"
        )
    return address


@contextlib.contextmanager
def _parsed(language: Language, source: bytes) -> Iterator[tuple[int, int]]:
    """Address of the tree, which is there inside, and its number of nodes."""
    limit, grammar, library = step_limit(source), _grammar(language), _library()
    arena: _Arena | None = getattr(_local, "arena", None)
    if arena is None:
        arena = _local.arena = _Arena()
    nodes = ctypes.c_uint32()
    tree = library.aixmeg_syntax_parse(arena.address, grammar, source, len(source), limit, ctypes.byref(nodes))
    if not tree:
        raise ParseLimit
    try:
        yield tree, nodes.value
    finally:
        library.aixmeg_syntax_release(arena.address)
