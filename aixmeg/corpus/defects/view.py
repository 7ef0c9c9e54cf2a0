"""A syntax tree with children and texts at hand. Columns become lists once, since single numbers are asked for."""

from __future__ import annotations

import functools
import re

import numpy as np

from aixmeg.syntax import HAS_ERROR, NAMED, SyntaxTree

_COMPARISON = re.compile(rb"[=!]==?|[<>]=")


class View:
    """Questions about the nodes of one tree; a node is its index."""

    def __init__(self, tree: SyntaxTree) -> None:
        self.tree = tree
        self.source = tree.source
        self.start: list[int] = tree.start.tolist()
        self.end: list[int] = tree.end.tolist()

    @functools.cached_property
    def parent(self) -> list[int]:
        """Index of each node's parent, -1 for the root."""
        return self.tree.parent.tolist()

    @functools.cached_property
    def _kind(self) -> list[int]:
        return self.tree.kind.tolist()

    @functools.cached_property
    def _field(self) -> list[int]:
        return self.tree.field.tolist()

    @functools.cached_property
    def _flags(self) -> list[int]:
        return self.tree.flags.tolist()

    @functools.cached_property
    def _children(self) -> tuple[list[int], list[int]]:
        """Nodes by parent, in document order, and where those of each node begin."""
        nodes = np.argsort(self.tree.parent, kind="stable")
        ends = np.cumsum(np.bincount(self.tree.parent + 1, minlength=len(nodes) + 1))
        return nodes.tolist(), ends.tolist()

    def kind(self, node: int) -> str:
        """Name of the node's kind."""
        return self.tree.kinds[self._kind[node]]

    def text(self, node: int) -> str:
        """Source of the node."""
        return self.source[self.start[node] : self.end[node]].decode(errors="replace")

    def bytes(self, node: int) -> bytes:
        """Source of the node."""
        return self.source[self.start[node] : self.end[node]]

    def is_sound(self, node: int) -> bool:
        """Whether there is no syntax error in it."""
        return not self._flags[node] & HAS_ERROR

    def children(self, node: int) -> list[int]:
        """All children, punctuation included."""
        nodes, ends = self._children
        return nodes[ends[node] : ends[node + 1]]

    def named(self, node: int) -> list[int]:
        """Named children, comments left out."""
        return [one for one in self.children(node) if self._flags[one] & NAMED and "comment" not in self.kind(one)]

    def field(self, node: int, name: str) -> int | None:
        """The first child in the role `name`."""
        number = _field_id(self.tree.fields, name)
        if number:
            for one in self.children(node):
                if self._field[one] == number:
                    return one
        return None

    def fields(self, node: int, *names: str) -> tuple[int, ...] | None:
        """The children in several roles; None where one is missing."""
        found = tuple(one for name in names if (one := self.field(node, name)) is not None)
        return found if len(found) == len(names) else None

    def operator(self, node: int) -> str:
        """The operator of a binary expression, or of an assignment."""
        found = self.field(node, "operator")
        if found is None:
            found = next((one for one in self.children(node) if not self._flags[one] & NAMED), None)
        return self.text(found) if found is not None else ""

    def plain(self, node: int) -> int:
        """The expression inside parentheses."""
        while (
            self.kind(node) in ("parenthesized_expression", "condition_clause") and len(inner := self.named(node)) == 1
        ):
            node = inner[0]
        return node

    def same(self, one: int, other: int) -> bool:
        """Whether two nodes have the same source, blanks apart."""
        left, right = self.bytes(one), self.bytes(other)
        return left == right or b"".join(left.split()) == b"".join(right.split())

    def calls_nothing(self, node: int) -> bool:
        """Whether two evaluations of it are sure to agree: no call, no increment, no assignment inside."""
        text = self.bytes(node)
        if any(mark in text for mark in (b"(", b"++", b"--", b"await", b"yield")):
            return False
        return b"=" not in _COMPARISON.sub(b"", text)


@functools.lru_cache(maxsize=1024)
def _field_id(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else 0
