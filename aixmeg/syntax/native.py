"""Parse and walk in compiled code (csrc/syntax): the same columns as `python_walk`, several times as fast."""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Final

from aixmeg.errors import UserError
from aixmeg.languages import Language
from aixmeg.languages.grammar import grammar_address
from aixmeg.native.library import syntax_library
from aixmeg.syntax.columns import Columns, ParseLimit, make_columns, step_limit

_local: Final = threading.local()
"""A parser is for one thread at a time, and the calls release the GIL."""


def is_built() -> bool:
    """Whether the compiled walk is there and is of the installed tree-sitter's release."""
    return syntax_library() is not None


def parse_columns(language: Language, source: bytes, error_kind: int) -> tuple[Columns, int]:
    """All nodes of `source` in document order, and the number of bytes in errors."""
    library = _library()
    tree, nodes = _parse(language, source)
    try:
        columns, block = make_columns(nodes)
        found = library.aixmeg_syntax_columns(tree, nodes, error_kind, block.ctypes.data)
        assert found == nodes, f"tree-sitter announced {nodes} nodes of {language.name} and gave {found}"
        return columns, library.aixmeg_syntax_error_bytes(tree)
    finally:
        library.aixmeg_syntax_tree_delete(tree)


def parse_error_bytes(language: Language, source: bytes) -> int:
    """Bytes inside outermost error nodes, each missing token counted as one; no columns are made."""
    library = _library()
    tree, _ = _parse(language, source)
    try:
        return library.aixmeg_syntax_error_bytes(tree)
    finally:
        library.aixmeg_syntax_tree_delete(tree)


@functools.cache
def _library() -> ctypes.CDLL:
    library = syntax_library()
    assert library is not None, "callers ask is_built first"
    pointer = ctypes.c_void_p
    types = {
        "parser_new": (pointer, [pointer]),
        "parser_delete": (None, [pointer]),
        "parse": (pointer, [pointer, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64, pointer]),
        "tree_delete": (None, [pointer]),
        "error_bytes": (ctypes.c_uint64, [pointer]),
        "columns": (ctypes.c_int64, [pointer, ctypes.c_uint32, ctypes.c_uint16, pointer]),
    }
    for name, (result, arguments) in types.items():
        function = getattr(library, f"aixmeg_syntax_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class _Parser:
    """Owns a tree-sitter parser."""

    def __init__(self, language: Language) -> None:
        self._library = _library()  # kept: at the interpreter's end module globals go first
        self.address = self._library.aixmeg_syntax_parser_new(grammar_address(language))
        if not self.address:
            raise UserError(
                f"the tree-sitter grammar {language.grammar!r} is of an ABI that this tree-sitter does not read; "
                "install tree-sitter-language-pack==0.13.0"
            )

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._library.aixmeg_syntax_parser_delete(self.address)


def _parse(language: Language, source: bytes) -> tuple[int, int]:
    """Address of the tree, which the caller deletes, and its number of nodes."""
    limit = step_limit(source)
    parsers: dict[str | None, _Parser] = _local.__dict__.setdefault("parsers", {})
    made = parsers.get(language.grammar)
    if made is None:
        made = parsers[language.grammar] = _Parser(language)
    nodes = ctypes.c_uint32()
    tree = _library().aixmeg_syntax_parse(made.address, source, len(source), limit, ctypes.byref(nodes))
    if not tree:
        raise ParseLimit
    return tree, nodes.value
