"""One syntax tree as the strategies see it: which spans may be middles, and who stands around a byte.

All offsets are bytes, all node lists ascending indices (document order, a parent before its children). A draw looks at
a few nodes: it finds them by binary search and by climbing, and scans a column only to list all nodes of a kind. Single
entries are read through memory views, which is several times as fast as through numpy.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from aixmeg.sfim.kinds import BLOCK, CLOSE, COMMENT, OPEN, STRUCTURE, roles_of
from aixmeg.syntax import ERROR, EXTRA, HAS_ERROR, MISSING, NAMED, SyntaxTree

_BAD: Final = ERROR | MISSING | HAS_ERROR
_FEW: Final = 32
"""Nodes up to which a loop is faster than numpy."""


@dataclass(frozen=True)
class Span:
    """Bytes [start, end) of a middle."""

    start: int
    end: int
    kind: str
    """Kind of the node it is, or of the smallest one around it: `if_statement`; "" where no tree was used."""


NOWHERE: Final = Span(-1, -1, "")
"""Instead of a span: this file has no node of that kind, and another draw would find none either."""


class View:
    """The nodes of one tree that may become a middle.

    Args:
        tree: fresh or stored.
        min_bytes: shortest middle.
        max_bytes: longest middle.
    """

    def __init__(self, tree: SyntaxTree, *, min_bytes: int, max_bytes: int) -> None:
        self.tree, self.source = tree, tree.source
        self.start, self.end, self.parent = tree.start.data, tree.end.data, tree.parent.data
        self.flags = tree.flags.data
        self._kind, self._field = tree.kind.data, tree.field.data
        self.min_bytes, self.max_bytes = min_bytes, max_bytes
        # Leading and trailing blanks apart, a middle that spans the whole file leaves no context.
        self.first = len(self.source) - len(self.source.lstrip())
        self.last = len(self.source.rstrip())
        self.has_error = len(self.flags) > 0 and self.flags[0] & _BAD != 0
        self._is_ascii = self.source.isascii()
        self._nodes: dict[int, list[int]] = {}
        self._roles = roles_of(tree.language.grammar or "", tree.kinds, tree.fields)

    # -- nodes

    @cached_property
    def clean(self) -> np.ndarray:
        """Nodes in, over and beside no error: bool [n]."""
        flags = self.tree.flags
        if not self.has_error:
            return np.ones(len(flags), bool)
        # In document order, an error that began earlier and ends no sooner is around a node.
        error_end = np.maximum.accumulate(np.where(flags & ERROR, self.tree.end, 0))
        return (flags & _BAD == 0) & (error_end < self.tree.end)

    @cached_property
    def _errors(self) -> tuple[np.ndarray, np.ndarray]:
        found = np.flatnonzero(self.tree.flags & (ERROR | MISSING))
        return self.tree.start[found], self.tree.end[found]

    def kind(self, node: int) -> str:
        """Name of a node's kind."""
        return self.tree.kinds[self._kind[node]]

    def roles(self, node: int) -> int:
        """What the node is (`aixmeg.sfim.kinds`)."""
        roles = self._roles.of_kind[self._kind[node]]
        return roles if self.flags[node] & NAMED else roles & (OPEN | CLOSE)

    def is_comment(self, node: int) -> bool:
        """Whether the node is a comment, or else may stand anywhere."""
        return self.flags[node] & EXTRA != 0 or self.roles(node) & COMMENT != 0

    def nodes(self, mask: int) -> list[int]:
        """Named clean nodes with one of the roles in `mask`."""
        known = self._nodes.get(mask)
        if known is None:
            found = self._roles.with_any(mask)[self.tree.kind].nonzero()[0]
            keep = self.tree.flags[found] & NAMED != 0
            if self.has_error:
                keep &= self.clean[found]
            known = self._nodes[mask] = found[keep].tolist()
        return known

    # -- neighbours

    def around(self, place: int) -> list[int]:
        """Nodes that hold byte `place`, outermost first."""
        end, parent = self.end, self.parent
        node = bisect_right(self.start, place) - 1
        while node >= 0 and end[node] <= place:
            node = parent[node]
        found = []
        while node >= 0:
            found.append(node)
            node = parent[node]
        return found[::-1]

    def structure_around(self, place: int) -> list[int]:
        """Named clean nodes that hold byte `place`, outermost first, without the root; empty in comments and errors."""
        flags, kind, roles = self.flags, self._kind, self._roles.of_kind
        found = []
        for node in self.around(place)[1:]:
            flag = flags[node]
            if flag & (EXTRA | ERROR) or roles[kind[node]] & COMMENT:
                return []
            if flag & NAMED and not flag & _BAD:
                found.append(node)
        return found

    def subtree_end(self, node: int) -> int:
        """Index behind the last node inside `node`."""
        return max(bisect_left(self.start, self.end[node]), node + 1)

    def children(self, node: int) -> list[int]:
        """Direct children of `node`."""
        first, stop = node + 1, self.subtree_end(node)
        if stop - first < _FEW:
            parent = self.parent
            return [child for child in range(first, stop) if parent[child] == node]
        return ((self.tree.parent[first:stop] == node).nonzero()[0] + first).tolist()

    def smallest_around(self, start: int, end: int) -> str:
        """Kind of the smallest named node around [start, end)."""
        for node in reversed(self.around(start)):
            if self.end[node] >= end and self.flags[node] & NAMED:
                return self.kind(node)
        return ""

    def body(self, node: int) -> int | None:
        """The child that is a structure's body, down to the innermost node with the same bytes; None without one."""
        children = self.children(node)
        by_field = (child for child in children if self._roles.is_body[self._field[child]])
        body = next(by_field, None)
        if body is None:
            body = next((child for child in children if self.roles(child) & BLOCK), None)
        if body is None:
            return None
        while body + 1 < len(self.start) and self.parent[body + 1] == body and (
            self.start[body + 1] == self.start[body] and self.end[body + 1] == self.end[body]
            and self.flags[body + 1] & NAMED and not self.roles(body) & STRUCTURE
        ):  # fmt: skip
            body += 1
        return body

    # -- spans

    def fits(self, start: int, end: int) -> bool:
        """Whether [start, end) may be a middle: its size, its ends, not blank, and no error in, at or around it."""
        if self.source[start:end].isspace():  # as some nodes are: Markdown's indentation of a block that goes on
            return False
        if not self.min_bytes <= end - start <= self.max_bytes or (start <= self.first and end >= self.last):
            return False
        return self.is_cut(start) and self.is_cut(end) and not self.touches_error(start, end)

    def is_cut(self, offset: int) -> bool:
        r"""Whether `offset` lies neither inside a character nor between "\r" and "\n"."""
        return is_cut(self.source, offset, is_ascii=self._is_ascii)

    def touches_error(self, start: int, end: int) -> bool:
        """Whether [start, end) overlaps an error, or a missing token stands in it or at its ends."""
        if not self.has_error:
            return False
        starts, ends = self._errors
        return bool(
            (((starts < end) & (ends > start)) | ((starts == ends) & (starts >= start) & (starts <= end))).any()
        )

    def trimmed(self, start: int, end: int, kind: str) -> Span:
        """The span without blanks at its ends."""
        text = self.source[start:end]
        left = len(text) - len(text.lstrip())
        return Span(start + left, max(start + left, start + len(text.rstrip())), kind)

    def line_start(self, offset: int) -> int:
        """First byte of the line that holds `offset`."""
        return self.source.rfind(b"\n", 0, offset) + 1


def is_cut(source: bytes, offset: int, *, is_ascii: bool = False) -> bool:
    r"""Whether text may be cut at `offset`: not inside a character, not between "\r" and "\n"."""
    if not 0 < offset < len(source):
        return True
    byte = source[offset]
    if not is_ascii and byte & 0xC0 == 0x80:
        return False
    return byte != 10 or source[offset - 1] != 13
