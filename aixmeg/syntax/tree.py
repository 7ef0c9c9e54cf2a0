"""One parsed file: its nodes in document order (a parent before its children) as columns of equal length.

n nodes. All offsets are bytes. Nothing recurses: nesting may be 100,000 deep.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from aixmeg.languages import Language, parser

NAMED: Final = 1
ERROR: Final = 2
"""An error node: what the parser could not place."""
MISSING: Final = 4
"""A token that the parser put in to go on; it has no bytes."""
EXTRA: Final = 8
"""May stand anywhere: comments in most grammars."""
HAS_ERROR: Final = 16
"""It, or something inside it, is an error or missing."""
_CHUNK: Final = 1024
_FREE_STEPS: Final = 1000
_STEPS_PER_BYTE: Final = 0.25
"""Real files of eight languages take at most 0.027, half of them 0.006; hostile ones grow with the square."""


class ParseLimit(Exception):
    """The parser took more steps than its bound, which grows with the file's length."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SyntaxTree:
    """The nodes of one file. Columns are read-only."""

    language: Language
    source: bytes
    start: np.ndarray
    """First byte: uint32 [n]."""
    end: np.ndarray
    """Byte behind the last: uint32 [n]."""
    kind: np.ndarray
    """Index in `kinds`: uint16 [n]."""
    field: np.ndarray
    """Index in `fields` of the node's role in its parent, 0 for none: uint16 [n]."""
    parent: np.ndarray
    """Index of the parent, -1 for the root: int32 [n]."""
    flags: np.ndarray
    """NAMED, ERROR …: uint8 [n]."""
    kinds: tuple[str, ...]
    """Names of the grammar's node kinds: `if_statement`, `(`."""
    fields: tuple[str, ...]
    """Names of the grammar's fields: `condition`, `body`; the first is ""."""
    error_bytes: int
    """Bytes inside outermost error nodes, each missing token counted as one."""

    @property
    def error_share(self) -> float:
        """Share of the bytes inside errors, 0 to 1."""
        return min(1.0, self.error_bytes / len(self.source)) if self.source else 0.0


def parse(language: Language, source: bytes) -> SyntaxTree:
    """Parse `source`, within a bound of parser steps that grows with its length.

    Steps, not seconds: some grammars take quadratic time on garbage, and the outcome must not depend on the machine.

    Raises:
        ParseLimit: the bound was exceeded.
        UserError: the language has no grammar.
    """
    tree = _bounded(language, source)
    rows, error_bytes = _walk(tree)
    columns = np.array(rows, dtype=np.int64).reshape(-1, 6)
    start, end, kind, field, parent, flags = (
        np.ascontiguousarray(columns[:, i], dtype=kind)
        for i, kind in enumerate(("<u4", "<u4", "<u2", "<u2", "<i4", "u1"))
    )
    kinds, fields = _names(language)
    return SyntaxTree(
        language=language, source=source, start=start, end=end, kind=kind, field=field, parent=parent, flags=flags,
        kinds=kinds, fields=fields, error_bytes=error_bytes,
    )  # fmt: skip


@functools.cache
def _names(language: Language) -> tuple[tuple[str, ...], tuple[str, ...]]:
    made = parser(language).language
    assert made is not None
    kinds = tuple(made.node_kind_for_id(i) or "" for i in range(made.node_kind_count))
    return (*kinds, "ERROR"), ("", *(made.field_name_for_id(i) or "" for i in range(1, made.field_count + 1)))


def _bounded(language: Language, source: bytes) -> Any:
    """A step is a progress report of tree-sitter, one per hundred operations, or a read of a kilobyte, which bounds
    tokens that are scanned again and again."""
    limit = _FREE_STEPS + int(_STEPS_PER_BYTE * len(source))
    steps = 0

    def read(offset: int, _point: object) -> bytes:
        nonlocal steps
        steps += 1
        return source[offset : offset + _CHUNK]

    def stop(_offset: int, _has_error: bool) -> bool:
        nonlocal steps
        steps += 1
        return steps > limit

    made = parser(language)
    try:
        return made.parse(read, progress_callback=stop)
    except ValueError:  # "Parsing failed": tree-sitter gives no tree when it is stopped
        made.reset()
        raise ParseLimit from None


def _walk(tree: Any) -> tuple[list[tuple[int, int, int, int, int, int]], int]:
    cursor = tree.walk()
    error_kind = tree.language.node_kind_count  # tree-sitter's own id of an error is 65,535
    rows: list[tuple[int, int, int, int, int, int]] = []
    error_bytes = 0
    parents = [-1]
    inside_error = 0  # depth of the outermost error around the cursor, counted as len(parents); 0 outside
    while True:
        node = cursor.node
        flags = NAMED * node.is_named | ERROR * node.is_error | MISSING * node.is_missing
        flags |= EXTRA * node.is_extra | HAS_ERROR * node.has_error
        kind = error_kind if node.is_error else node.kind_id
        rows.append((node.start_byte, node.end_byte, kind, cursor.field_id or 0, parents[-1], flags))
        if not inside_error and flags & (ERROR | MISSING):
            error_bytes += (
                max(1, node.end_byte - node.start_byte) if flags & MISSING else node.end_byte - node.start_byte
            )
            if flags & ERROR:
                inside_error = len(parents)
        if cursor.goto_first_child():
            parents.append(len(rows) - 1)
            continue
        if inside_error == len(parents):
            inside_error = 0
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return rows, error_bytes
            parents.pop()
            if inside_error == len(parents):
                inside_error = 0
