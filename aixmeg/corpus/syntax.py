"""Step 4: how much of a file does not parse.

tree-sitter always gives a tree. Asking only whether it holds an error would delete 40 % of real C and C++ (macros), so
a file is judged by the share of its bytes inside errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aixmeg.corpus.reasons import Dropped
from aixmeg.languages import Language, parser

if TYPE_CHECKING:
    from tree_sitter import Tree

_CHUNK: Final = 1024
_FREE_STEPS: Final = 1000
_STEPS_PER_BYTE: Final = 0.25
"""Real files of eight languages take at most 0.027, half of them 0.006; hostile ones grow with the square."""


def error_share(language: Language, source: bytes) -> float:
    """Share of the bytes of `source` inside its outermost error nodes, each missing token counted as one byte.

    Raises:
        Dropped: the parser exceeded its bound of steps (`parse_limit`).
        UserError: the language has no grammar.
    """
    if not source:
        return 0.0
    return min(1.0, _error_bytes(parse(language, source)) / len(source))


def parse(language: Language, source: bytes) -> Tree:
    """The tree of `source`, within a bound of parser steps that grows with its length.

    Steps, not seconds: some grammars take quadratic time on garbage, and the outcome must not depend on the machine.
    A step is a progress report of tree-sitter, one per hundred operations, or a read of a kilobyte, which bounds
    tokens that are scanned again and again.

    Raises:
        Dropped: the bound was exceeded (`parse_limit`).
    """
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
        raise Dropped("parse_limit") from None


def _error_bytes(tree: Tree) -> int:
    """Bytes inside outermost errors. A cursor, not recursion: nesting may be 100,000 deep."""
    cursor = tree.walk()
    amount = 0
    while True:
        node = cursor.node
        assert node is not None
        if node.is_error:
            amount += node.end_byte - node.start_byte
        elif node.is_missing:
            amount += 1
        elif node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return amount
