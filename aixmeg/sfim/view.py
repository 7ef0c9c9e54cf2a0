"""One syntax tree as the strategies see it: which spans may be middles, and who stands around a byte.

All offsets are bytes, all node lists ascending indices (document order, a parent before its children). Every question
is a look at whole columns or a binary search: nesting may be 100,000 deep.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aixmeg.sfim.kinds import BLOCK, CLOSE, COMMENT, OPEN, STRUCTURE, roles_of
from aixmeg.syntax import ERROR, EXTRA, HAS_ERROR, MISSING, NAMED, SyntaxTree


@dataclass(frozen=True)
class Span:
    """Bytes [start, end) of a middle."""

    start: int
    end: int
    kind: str
    """Kind of the node it is, or of the smallest one around it: `if_statement`; "" where no tree was used."""


class View:
    """The nodes of one tree that may become a middle.

    Args:
        tree: fresh or stored.
        min_bytes: shortest middle.
        max_bytes: longest middle.
    """

    def __init__(self, tree: SyntaxTree, *, min_bytes: int, max_bytes: int) -> None:
        self.tree, self.source = tree, tree.source
        self.start, self.end, self.parent = tree.start, tree.end, tree.parent
        self.min_bytes, self.max_bytes = min_bytes, max_bytes
        # Leading and trailing blanks apart, a middle that spans the whole file leaves no context.
        self.first = len(self.source) - len(self.source.lstrip())
        self.last = len(self.source.rstrip())
        self.has_error = bool(len(tree.flags)) and bool(tree.flags[0] & (HAS_ERROR | ERROR))
        self._is_ascii = self.source.isascii()
        self._roles = roles_of(tree.language.grammar or "", tree.kinds, tree.fields)

    # -- columns

    @cached_property
    def roles(self) -> np.ndarray:
        """Roles of every node, of unnamed ones OPEN and CLOSE alone: uint32 [n]."""
        roles = self._roles.of_kind[self.tree.kind]
        return np.where(self.tree.flags & NAMED, roles, roles & np.uint32(OPEN | CLOSE))

    @cached_property
    def clean(self) -> np.ndarray:
        """Nodes in, over and beside no error: bool [n]."""
        flags = self.tree.flags
        if not self.has_error:
            return np.ones(len(flags), bool)
        # In document order, an error that began earlier and ends no sooner is around a node.
        error_end = np.maximum.accumulate(np.where(flags & ERROR, self.end, 0))
        return (flags & (ERROR | MISSING | HAS_ERROR) == 0) & (error_end < self.end)

    @cached_property
    def structures(self) -> np.ndarray:
        """Roles of the named clean nodes that are functions, conditions, loops …, 0 elsewhere: uint32 [n]."""
        return np.where(self.clean, self.roles, np.uint32(0)) if self.has_error else self.roles

    @cached_property
    def _errors(self) -> tuple[np.ndarray, np.ndarray]:
        found = np.flatnonzero(self.tree.flags & (ERROR | MISSING))
        return self.start[found], self.end[found]

    def kind(self, node: int) -> str:
        """Name of a node's kind."""
        return self.tree.kinds[self.tree.kind[node]]

    def nodes(self, mask: int) -> np.ndarray:
        """Clean nodes with one of the roles in `mask`."""
        return np.flatnonzero(self.structures & np.uint32(mask))

    # -- neighbours

    def around(self, place: int) -> np.ndarray:
        """Nodes that hold byte `place`, outermost first."""
        return np.flatnonzero(self.end[: np.searchsorted(self.start, place, "right")] > place)

    def structure_around(self, place: int) -> np.ndarray:
        """Named clean nodes that hold byte `place`, outermost first, without the root; empty inside a comment."""
        chain = self.around(place)[1:]
        flags = self.tree.flags[chain]
        if (flags & (EXTRA | ERROR)).any():
            return chain[:0]
        keep = flags & NAMED != 0
        if self.has_error:
            keep &= flags & (HAS_ERROR | MISSING) == 0
        if (self._roles.of_kind[self.tree.kind[chain]] & COMMENT).any():
            return chain[:0]
        return chain[keep]

    def subtree_end(self, node: int) -> int:
        """Index behind the last node inside `node`."""
        stop = int(np.searchsorted(self.start, self.end[node], "left"))
        return max(stop, node + 1)

    def children(self, node: int) -> np.ndarray:
        """Direct children of `node`."""
        return node + 1 + np.flatnonzero(self.parent[node + 1 : self.subtree_end(node)] == node)

    def smallest_around(self, start: int, end: int) -> str:
        """Kind of the smallest named node around [start, end)."""
        chain = self.around(start)
        holds = chain[(self.end[chain] >= end) & (self.tree.flags[chain] & NAMED != 0)]
        return self.kind(int(holds[-1])) if len(holds) else ""

    def body(self, node: int) -> int | None:
        """The child that is a structure's body, down to the innermost node with the same bytes; None without one."""
        children = self.children(node)
        is_body = self._roles.is_body[self.tree.field[children]]
        found = children[is_body]
        if not len(found):
            found = children[self.roles[children] & BLOCK != 0]
        if not len(found):
            return None
        body = int(found[0])
        while body + 1 < len(self.start) and self.parent[body + 1] == body and (
            self.start[body + 1] == self.start[body] and self.end[body + 1] == self.end[body]
            and self.tree.flags[body + 1] & NAMED and not self.roles[body] & STRUCTURE
        ):  # fmt: skip
            body += 1
        return body

    # -- spans

    def fits(self, start: int, end: int) -> bool:
        """Whether [start, end) may be a middle: its size, its ends, and no error in, at or around it."""
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
