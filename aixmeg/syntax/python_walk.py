"""Parse and walk in Python: what runs where the native walk is not built, and what tests compare that one with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aixmeg.languages import Language, parser
from aixmeg.syntax.columns import (
    CHUNK,
    ERROR,
    EXTRA,
    HAS_ERROR,
    MISSING,
    NAMED,
    Columns,
    ParseLimit,
    make_columns,
    step_limit,
)

if TYPE_CHECKING:
    from tree_sitter import Node, Tree


def parse_columns(language: Language, source: bytes) -> tuple[Columns, int]:
    """All nodes of `source` in document order, and the number of bytes in errors."""
    tree = _bounded(language, source)
    rows, error_bytes = _walk(tree)
    columns, block = make_columns(len(rows))
    values = np.array(rows, dtype=np.int64).T  # [6, n]
    packed = [made.astype(column.dtype).view(np.uint8) for made, column in zip(values, columns, strict=True)]
    np.concatenate(packed, out=block)
    return columns, error_bytes


def parse_error_bytes(language: Language, source: bytes) -> int:
    """Bytes inside outermost error nodes, each missing token counted as one."""
    cursor = _bounded(language, source).walk()
    amount = 0
    while True:
        node = cursor.node
        assert node is not None
        if node.is_error or node.is_missing:
            amount += _bytes_in_error(node)
        elif node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return amount


def _bounded(language: Language, source: bytes) -> Tree:
    limit = step_limit(source)
    steps = 0

    def read(offset: int, _point: object) -> bytes:
        nonlocal steps
        steps += 1
        return source[offset : offset + CHUNK]

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


def _bytes_in_error(node: Node) -> int:
    length = node.end_byte - node.start_byte
    return max(1, length) if node.is_missing else length


def _walk(tree: Tree) -> tuple[list[tuple[int, int, int, int, int, int]], int]:
    cursor = tree.walk()
    error_kind = tree.language.node_kind_count  # tree-sitter's own id of an error is 65,535
    rows: list[tuple[int, int, int, int, int, int]] = []
    error_bytes = 0
    parents = [-1]
    inside_error = 0  # depth of the outermost error around the cursor, counted as len(parents); 0 outside
    while True:
        node = cursor.node
        assert node is not None
        flags = NAMED * node.is_named | ERROR * node.is_error | MISSING * node.is_missing
        flags |= EXTRA * node.is_extra | HAS_ERROR * node.has_error
        kind = error_kind if node.is_error else node.kind_id
        rows.append((node.start_byte, node.end_byte, parents[-1], kind, cursor.field_id or 0, flags))
        if not inside_error and flags & (ERROR | MISSING):
            error_bytes += _bytes_in_error(node)
            inside_error = len(parents)
        if cursor.goto_first_child():
            parents.append(len(rows) - 1)
            continue
        while True:
            if inside_error == len(parents):
                inside_error = 0
            if cursor.goto_next_sibling():
                break
            if not cursor.goto_parent():
                return rows, error_bytes
            parents.pop()
