"""A syntax tree with children and texts at hand. Columns become lists once, since single numbers are asked for."""

from __future__ import annotations

import re
from typing import Final

from aixmeg.syntax import HAS_ERROR, NAMED, SyntaxTree
from aixmeg.syntax.store import nodes_after

_EFFECT = re.compile(rb"\(|\+\+|--|await|yield")
_COMPARISON = re.compile(rb"[=!]==?|[<>]=")


class Names:
    """A grammar's names as numbers."""

    def __init__(self, tree: SyntaxTree) -> None:
        self.fields = {name: number for number, name in enumerate(tree.fields) if name}
        self.is_comment = bytes("comment" in kind for kind in tree.kinds)
        self.kinds: dict[str, list[int]] = {}
        for number, name in enumerate(tree.kinds):
            self.kinds.setdefault(name, []).append(number)


_names: Final[dict[str | None, Names]] = {}
"""By grammar: hashing its names would take longer than most checks."""


def names_of(tree: SyntaxTree) -> Names:
    """The names of a tree's grammar."""
    found = _names.get(tree.language.grammar)
    if found is None:
        found = _names[tree.language.grammar] = Names(tree)
    return found


class View:
    """Questions about the nodes of one tree; a node is its index. Memory views give single numbers faster than numpy,
    and cost nothing where few are asked for."""

    def __init__(self, tree: SyntaxTree) -> None:
        self.tree, self.source, self.names = tree, tree.source, names_of(tree)
        self.start, self.end, self.parent = tree.start.data, tree.end.data, tree.parent.data
        self._kind, self._field, self._flags = tree.kind.data, tree.field.data, tree.flags.data
        self._after = nodes_after(tree).data
        self._children: dict[int, list[int]] = {}

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
        found = self._children.get(node)
        if found is None:
            found, after = [], self._after
            child, stop = node + 1, after[node]
            while child < stop:
                found.append(child)
                child = after[child]
            self._children[node] = found
        return found

    def named(self, node: int) -> list[int]:
        """Named children, comments left out."""
        flags, kind, is_comment = self._flags, self._kind, self.names.is_comment
        return [one for one in self.children(node) if flags[one] & NAMED and not is_comment[kind[one]]]

    def field(self, node: int, name: str) -> int | None:
        """The first child in the role `name`."""
        number, fields = self.names.fields.get(name), self._field
        if number is not None:
            for one in self.children(node):
                if fields[one] == number:
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
        return _EFFECT.search(text) is None and (b"=" not in text or b"=" not in _COMPARISON.sub(b"", text))
