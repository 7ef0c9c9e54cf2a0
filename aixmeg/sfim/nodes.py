"""Middles along the tree: a complete node, a run of siblings, the rest of a node, a line.

Most nodes are identifiers and punctuation: a uniform draw of nodes would rarely choose a statement. So a place is drawn
first, uniform over the file's bytes like a cursor, and then one of the nodes around it: expression, statement, block,
function and class have equal chances there, which makes the sizes roughly log-uniform.

Each function draws once and returns None when it hit nothing; `aixmeg.sfim.draw` checks the span and draws again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aixmeg.sfim.kinds import COMMENT
from aixmeg.sfim.view import Span, View
from aixmeg.syntax import ERROR, EXTRA, HAS_ERROR, MISSING, NAMED

Uniform = Callable[[str], float]
"""A number in [0, 1) for each purpose, the same for the same purpose."""


def whole_node(view: View, uniform: Uniform) -> Span | None:
    """A complete node around a random byte; of nodes with equal bytes the outermost."""
    found: list[int] = []
    before = -1
    for node in view.structure_around(int(uniform("place") * len(view.source))):
        start, end = view.start[node], view.end[node]
        size = end - start
        if size != before and view.min_bytes <= size <= view.max_bytes and (start > view.first or end < view.last):
            found.append(node)
        before = size
    return _one_of(view, found, uniform("node"))


def any_node(view: View, uniform: Uniform) -> Span | None:
    """One of all complete nodes: for files in which random bytes hit none, as mostly errors or one huge literal."""
    tree = view.tree
    size = tree.end - tree.start
    keep = view.clean & (tree.flags & NAMED != 0) & (size >= view.min_bytes) & (size <= view.max_bytes)
    keep &= (tree.start > view.first) | (tree.end < view.last)
    comments = tree.flags & EXTRA != 0
    comments[view.nodes(COMMENT)] = True
    # In document order, a comment that began earlier and ends no sooner is around a node.
    keep &= np.maximum.accumulate(np.where(comments, tree.end, 0)) < tree.end
    return _one_of(view, keep.nonzero()[0].tolist(), uniform("node"))


def siblings(view: View, uniform: Uniform) -> Span | None:
    """Two or more neighbouring named children of one node, the first of them at a random byte; no comment at its end.

    The number of siblings is log-uniform up to what the size limit lets in.
    """
    place = int(uniform("place") * len(view.source))
    chain = [0, *view.structure_around(place)]  # the root's children are siblings too
    parent = chain[int(uniform("parent") * len(chain))]
    start, code, ends = -1, 0, []
    for child in view.children(parent):
        if view.end[child] <= place or not view.flags[child] & NAMED:
            continue
        if view.flags[child] & (ERROR | HAS_ERROR | MISSING):
            break
        if start < 0:
            start = view.start[child]
        if view.end[child] - start > view.max_bytes:
            break
        if not view.is_comment(child):
            code += 1
            if code >= 2:
                ends.append(view.end[child])
    if not ends:
        return None
    run = min(int((len(ends) + 1) ** uniform("run")) - 1, len(ends) - 1)
    return Span(start, ends[run], view.kind(parent))


def node_tail(view: View, uniform: Uniform) -> Span | None:
    """From a random byte inside a complete node to the node's end."""
    place = _cut_from(view, int(uniform("place") * len(view.source)))
    found = [
        node for node in view.structure_around(place)
        if view.start[node] < place and view.min_bytes <= view.end[node] - place <= view.max_bytes
    ]  # fmt: skip
    if not found:
        return None
    node = found[int(uniform("node") * len(found))]
    return Span(place, view.end[node], view.kind(node))


def line(view: View, uniform: Uniform) -> Span | None:
    """A line without its indentation and its end, or its rest behind a random byte: one half of the draws each."""
    place = int(uniform("place") * len(view.source))
    whole = line_at(view, place)
    if whole is None or uniform("part") < 0.5:
        return whole
    start = max(whole.start, _cut_from(view, place))
    return Span(start, whole.end, whole.kind) if start < whole.end else None


def empty(view: View, uniform: Uniform) -> Span | None:
    """Nothing, at the end of a line of code: the model learns that nothing may be missing."""
    found = line_at(view, int(uniform("place") * len(view.source)))
    return None if found is None else Span(found.end, found.end, found.kind)


def line_at(view: View, place: int) -> Span | None:
    """The line around `place`, trimmed; None where it is blank, begins or ends inside a comment, or is the file."""
    begin = view.line_start(place)
    end = view.source.find(b"\n", place)
    found = view.trimmed(begin, len(view.source) if end < 0 else end, "")
    if found.start >= found.end or _in_comment(view, found.start):
        return None
    return Span(found.start, found.end, view.smallest_around(found.start, found.end))


def _in_comment(view: View, place: int) -> bool:
    return any(view.is_comment(node) for node in view.around(place))


def _cut_from(view: View, place: int) -> int:
    """`place`, or the next offset at which text may be cut."""
    while not view.is_cut(place):
        place += 1
    return place


def _one_of(view: View, nodes: list[int], number: float) -> Span | None:
    if not nodes:
        return None
    node = nodes[int(number * len(nodes))]
    return Span(view.start[node], view.end[node], view.kind(node))
