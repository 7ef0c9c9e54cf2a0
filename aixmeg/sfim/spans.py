"""Which nodes of a syntax tree may become the middle of an example, and a draw among them.

A middle is a complete node, so that prefix and suffix meet at one level of the structure and the model learns to stop
where the structure ends (aiXcoder-7B, arXiv 2410.13187). Most nodes are identifiers and punctuation: a uniform draw of
nodes would rarely choose a statement. So a place is drawn first, uniform over the file's bytes like a cursor, and then
one of the nodes around it: expression, statement, block, function and class have equal chances there, which makes the
sizes roughly log-uniform.

All offsets are bytes. Nothing recurses: a file of 100,000 nested parentheses is walked by cursor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

MIN_MIDDLE_BYTES: Final = 4
"""Shorter nodes, mostly one-letter names and digits, teach next to nothing."""
PLACES: Final = 16
"""Places tried before every node of the file is listed."""


@dataclass(frozen=True)
class Span:
    """A complete node: its bytes [start, end) and its kind in the grammar, `if_statement`."""

    start: int
    end: int
    kind: str


def draw_span(parser: Parser, source: bytes, *, max_middle_bytes: int, uniform: Callable[[str], float]) -> Span | None:
    """Draw a complete node of `source`; None when the file has no candidate.

    Args:
        parser: of the file's language.
        source: the file, valid UTF-8.
        max_middle_bytes: longest node.
        uniform: a number in [0, 1) for each purpose, the same for the same purpose.
    """
    tree = parser.parse(source)
    if tree.root_node.is_error:
        return None
    allowed = _Candidates(tree, source, max_middle_bytes)
    for attempt in range(PLACES):
        place = int(uniform(f"place {attempt}") * len(source))
        if around := allowed.around(place):
            return around[int(uniform(f"node {attempt}") * len(around))]
    # Mostly errors or one huge literal: rare, so listing every node does not matter.
    everywhere = allowed.everywhere()
    return everywhere[int(uniform("node") * len(everywhere))] if everywhere else None


class _Candidates:
    """The nodes of one tree that may become a middle."""

    def __init__(self, tree: Tree, source: bytes, max_middle_bytes: int) -> None:
        self._tree = tree
        self._source = source
        self._max_bytes = max_middle_bytes
        # Leading and trailing blanks apart, a node that spans the whole file leaves no context.
        self._first = len(source) - len(source.lstrip())
        self._last = len(source.rstrip())

    def around(self, place: int) -> list[Span]:
        """Distinct candidates that hold byte `place`, outermost first; of nodes with equal bytes the outermost.

        None where a comment is the only one: licences and section headings would be a fifth of all C++ middles.
        """
        cursor = self._tree.walk()
        found: list[Span] = []
        structures = 0
        while cursor.goto_first_child_for_byte(place) is not None:
            node = cursor.node
            # The cursor also accepts a child that begins behind `place`: then `place` lies in the blanks between.
            if node is None or node.start_byte > place or node.is_error:
                break
            structures += self._collect(node, found) and not node.is_extra
        return found if structures else []

    def everywhere(self) -> list[Span]:
        """Every distinct candidate, in document order."""
        found: list[Span] = []
        cursor = self._tree.walk()
        descend = True
        while True:
            if (descend and cursor.goto_first_child()) or cursor.goto_next_sibling():
                node = cursor.node
                descend = node is not None and not node.is_error
                if node is not None and descend:
                    self._collect(node, found)
            elif cursor.goto_parent():
                descend = False
            else:
                return found

    def _collect(self, node: Node, found: list[Span]) -> bool:
        """Append `node` to `found` if it qualifies and its bytes are not those of the last one."""
        start, end = node.start_byte, node.end_byte
        qualifies = (
            MIN_MIDDLE_BYTES <= end - start <= self._max_bytes
            and node.is_named
            and not node.has_error
            and not (start <= self._first and end >= self._last)
            and not (found and (found[-1].start, found[-1].end) == (start, end))
            and not _splits_character(self._source, start)
            and not _splits_character(self._source, end)
        )
        if qualifies:
            found.append(Span(start, end, node.type))
        return qualifies


def _splits_character(source: bytes, offset: int) -> bool:
    """Whether `offset` lies inside a multi-byte UTF-8 character."""
    return offset < len(source) and source[offset] & 0xC0 == 0x80
