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
from aixmeg.syntax import EXTRA, NAMED

Uniform = Callable[[str], float]
"""A number in [0, 1) for each purpose, the same for the same purpose."""


def whole_node(view: View, uniform: Uniform) -> Span | None:
    """A complete node around a random byte; of nodes with equal bytes the outermost."""
    chain = view.structure_around(int(uniform("place") * len(view.source)))
    start, end = view.start[chain], view.end[chain]
    size = end - start
    keep = (size >= view.min_bytes) & (size <= view.max_bytes) & ((start > view.first) | (end < view.last))
    keep[1:] &= size[1:] != size[:-1]
    return _one_of(view, chain[keep], uniform("node"))


def any_node(view: View, uniform: Uniform) -> Span | None:
    """One of all complete nodes: for files in which random bytes hit none, as mostly errors or one huge literal."""
    size = view.end - view.start
    flags = view.tree.flags
    keep = view.clean & (flags & NAMED != 0) & (size >= view.min_bytes) & (size <= view.max_bytes)
    keep &= (view.start > view.first) | (view.end < view.last)
    for node in np.flatnonzero((flags & EXTRA != 0) | (view.roles & COMMENT != 0)).tolist():
        keep[node : view.subtree_end(node)] = False
    return _one_of(view, np.flatnonzero(keep), uniform("node"))


def siblings(view: View, uniform: Uniform) -> Span | None:
    """Two or more neighbouring named children of one node, the first of them at a random byte; no comment at its end.

    The number of siblings is log-uniform up to what the size limit lets in.
    """
    place = int(uniform("place") * len(view.source))
    chain = view.structure_around(place)
    chain = np.concatenate((np.zeros(1, chain.dtype), chain))  # the root's children are siblings too
    parent = int(chain[int(uniform("parent") * len(chain))])
    children = view.children(parent)
    children = children[(view.tree.flags[children] & NAMED != 0) & view.clean[children]]
    is_text = view.tree.flags[children] & EXTRA == 0
    first = int(np.searchsorted(view.end[children], place, "right"))
    if first >= len(children):
        return None
    start = int(view.start[children[first]])
    # Ends of all runs from `first` on that hold two siblings besides comments and are not too long.
    ends = first + np.flatnonzero((np.cumsum(is_text[first:]) >= 2) & is_text[first:])
    ends = ends[view.end[children[ends]] - start <= view.max_bytes]
    if not len(ends):
        return None
    last = int(ends[min(int((len(ends) + 1) ** uniform("run")) - 1, len(ends) - 1)])
    return Span(start, int(view.end[children[last]]), view.kind(parent))


def node_tail(view: View, uniform: Uniform) -> Span | None:
    """From a random byte inside a complete node to the node's end."""
    place = _cut_from(view, int(uniform("place") * len(view.source)))
    chain = view.structure_around(place)
    chain = chain[(view.start[chain] < place) & (view.end[chain] - place <= view.max_bytes)]
    chain = chain[view.end[chain] - place >= view.min_bytes]
    if not len(chain):
        return None
    node = int(chain[int(uniform("node") * len(chain))])
    return Span(place, int(view.end[node]), view.kind(node))


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
    chain = view.around(place)
    return bool(((view.tree.flags[chain] & EXTRA != 0) | (view.roles[chain] & COMMENT != 0)).any())


def _cut_from(view: View, place: int) -> int:
    """`place`, or the next offset at which text may be cut."""
    while not view.is_cut(place):
        place += 1
    return place


def _one_of(view: View, nodes: np.ndarray, number: float) -> Span | None:
    if not len(nodes):
        return None
    node = int(nodes[int(number * len(nodes))])
    return Span(int(view.start[node]), int(view.end[node]), view.kind(node))
