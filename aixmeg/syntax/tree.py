"""One parsed file: its nodes in document order (a parent before its children) as columns of equal length.

n nodes. All offsets are bytes. Nothing recurses: nesting may be 100,000 deep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from aixmeg.languages import Language, parser
from aixmeg.syntax import native, python_walk
from aixmeg.syntax.columns import Columns


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
        return _share(self.error_bytes, self.source)


def parse(language: Language, source: bytes) -> SyntaxTree:
    """Parse `source`, within a bound of parser steps that grows with its length.

    Raises:
        ParseLimit: the bound was exceeded.
        UserError: the language has no grammar.
    """
    if native.is_built():
        columns, error_bytes = native.parse_columns(language, source, len(names(language)[0]) - 1)
    else:
        columns, error_bytes = python_walk.parse_columns(language, source)
    return tree_of(language, source, columns, error_bytes)


def tree_of(language: Language, source: bytes, columns: Columns, error_bytes: int) -> SyntaxTree:
    """The tree that columns make."""
    start, end, parent, kind, field, flags = columns
    kinds, fields = names(language)
    return SyntaxTree(
        language=language, source=source, start=start, end=end, kind=kind, field=field, parent=parent, flags=flags,
        kinds=kinds, fields=fields, error_bytes=error_bytes,
    )  # fmt: skip


def error_share(language: Language, source: bytes) -> float:
    """`parse(language, source).error_share` without making columns.

    Raises:
        ParseLimit: the bound was exceeded.
        UserError: the language has no grammar.
    """
    walk = native if native.is_built() else python_walk
    return _share(walk.parse_error_bytes(language, source), source)


def _share(error_bytes: int, source: bytes) -> float:
    return min(1.0, error_bytes / len(source)) if source else 0.0


def names(language: Language) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of a grammar's node kinds, the last being errors, and of its fields, the first being ""."""
    found = _names.get(language.grammar)
    if found is None:
        made = parser(language).language
        assert made is not None
        kinds = tuple(made.node_kind_for_id(i) or "" for i in range(made.node_kind_count))
        fields = tuple(made.field_name_for_id(i) or "" for i in range(1, made.field_count + 1))
        found = _names[language.grammar] = (*kinds, "ERROR"), ("", *fields)
    return found


_names: Final[dict[str | None, tuple[tuple[str, ...], tuple[str, ...]]]] = {}
"""By grammar: hashing a `Language` takes as long as unpacking a small tree."""
