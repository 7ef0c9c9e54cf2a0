"""The columns of a tree, in one allocation, and the bound on the work of making them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

NAMED: Final = 1
ERROR: Final = 2
"""An error node: what the parser could not place."""
MISSING: Final = 4
"""A token that the parser put in to go on; it has no bytes."""
EXTRA: Final = 8
"""May stand anywhere: comments in most grammars."""
HAS_ERROR: Final = 16
"""It, or something inside it, is an error or missing."""
CHUNK: Final = 1024
"""Bytes that the parser reads at a time where Python walks the tree."""
_FREE_STEPS: Final = 1000
_STEPS_PER_BYTE: Final = 0.25
"""Real files of eight languages take at most 0.027, half of them 0.006; hostile ones grow with the square."""
MAX_BYTES: Final = 2**31 - 1
"""Longer files are not parsed: tree-sitter's offsets have 32 bits."""


class ParseLimit(Exception):
    """The parser took more steps than its bound, which grows with the file's length."""


class Columns(NamedTuple):
    """What the nodes of a tree are, n of each; `SyntaxTree` says what they mean."""

    start: np.ndarray
    end: np.ndarray
    parent: np.ndarray
    kind: np.ndarray
    field: np.ndarray
    flags: np.ndarray


def make_columns(n: int) -> tuple[Columns, np.ndarray]:
    """Columns of n nodes, uninitialised and read-only, and the block that they lie in, in this order, to be filled."""
    block = np.empty(17 * n, dtype=np.uint8)
    closed = block.view()
    closed.flags.writeable = False
    columns = Columns(
        start=closed[: 4 * n].view("<u4"),
        end=closed[4 * n : 8 * n].view("<u4"),
        parent=closed[8 * n : 12 * n].view("<i4"),
        kind=closed[12 * n : 14 * n].view("<u2"),
        field=closed[14 * n : 16 * n].view("<u2"),
        flags=closed[16 * n :],
    )
    return columns, block


def step_limit(source: bytes) -> int:
    """The most steps that the parser may take.

    A step is a progress report of tree-sitter, one per hundred operations, or a kilobyte scanned, however often: that
    ends tokens that are scanned again and again, and scanners that never return. Steps, not seconds: some grammars take
    quadratic time on garbage, and the outcome must not depend on the machine. Where Python walks the tree, it is
    reads of a kilobyte that count, and a scanner that never returns is not noticed.

    Raises:
        ParseLimit: the file is longer than `MAX_BYTES`.
    """
    if len(source) > MAX_BYTES:
        raise ParseLimit
    return _FREE_STEPS + int(_STEPS_PER_BYTE * len(source))
