"""Middles that are parts of a structure: bodies, headers, and the shapes of FIM-Eval (arXiv 2410.13187).

A structure is a node whose kind `aixmeg.sfim.kinds` lists. Its body lies between the block's brackets or keywords, its
header is all before the body's bracket; both are trimmed of blanks. Each function draws once; None says that this draw
hit none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aixmeg.sfim.kinds import (
    BLOCK,
    CLOSE,
    CLOSURE,
    COMMENT,
    FOR,
    FRAMED,
    FUNCTION,
    IF,
    LIST,
    LOOP,
    NEEDS_PARAMETER,
    OPEN,
    PARAMETER,
    SIGNATURE,
    STRUCTURE,
    SWITCH,
    TRY,
    WHILE,
)
from aixmeg.sfim.nodes import Uniform, line_at
from aixmeg.sfim.view import Span, View
from aixmeg.syntax import EXTRA, NAMED

_CLIMB = 6
"""Parents looked at between a function and the node that begins its line: `total <- function`, `export default`."""


@dataclass(frozen=True)
class Structure:
    """A function, loop … : bytes [start, end), its body without brackets, and where its header ends."""

    node: int
    end: int
    header_end: int
    body_start: int
    body_end: int
    statements: np.ndarray
    """Named children of the body, comments left out."""


def structure(view: View, node: int) -> Structure | None:
    """Take a structure apart; None when it has no body."""
    if view.roles[node] & NEEDS_PARAMETER and not (view.roles[view.children(node)] & PARAMETER).any():
        return None
    if view.roles[node] & FRAMED:
        inside = view.children(node)[1:-1]
        return None if len(inside) == 0 else _made(view, node, int(view.end[node]), inside)
    if view.roles[node] & SIGNATURE:
        body = view.subtree_end(node)
        is_next = body < len(view.start) and view.parent[body] == view.parent[node]
        if not is_next or not view.roles[body] & BLOCK or not view.clean[body]:
            return None
    elif (found := view.body(node)) is not None:
        body = found
    else:
        return None
    end = max(int(view.end[node]), int(view.end[body]))
    header_end, start, stop = int(view.start[body]), int(view.start[body]), int(view.end[body])
    while True:  # Dart: function_body > block > { … }
        children = view.children(body)
        if len(children) and view.roles[children[0]] & OPEN:
            start = int(view.end[children[0]])
            children = children[1:]
        if len(children) and view.roles[children[-1]] & CLOSE:
            stop = int(view.start[children[-1]])
            children = children[:-1]
        named = children[view.tree.flags[children] & (NAMED | EXTRA) == NAMED]
        if len(named) != 1 or not view.roles[named[0]] & LIST or view.roles[named[0]] & STRUCTURE:
            break
        body = int(named[0])
    # An opening bracket that is no part of the body's node (Swift's `if`) is no part of the header either.
    before = header_end - 1
    while before >= 0 and view.source[before] in b" \t\r\n":
        before -= 1
    if before >= 0 and view.source[before] == 0x7B:
        header_end = before
    return Structure(node, end, header_end, start, stop, named)


def _made(view: View, node: int, end: int, inside: np.ndarray) -> Structure:
    head, first = int(view.start[inside[0]]), inside[view.tree.flags[inside] & (NAMED | EXTRA) == NAMED]
    return Structure(node, end, head, head, int(view.end[inside[-1]]), first)


def _statement(mask: int, word: bytes = b"") -> Callable[[View, Uniform], Span | None]:
    """A draw among all structures with a role of `mask`, or loops that begin with `word`."""

    def draw(view: View, uniform: Uniform) -> Span | None:
        found = view.nodes(mask | LOOP if word else mask)
        if not len(found):
            return None
        node = int(found[int(uniform("node") * len(found))])
        if view.roles[node] & LOOP and not _first_words(view, node, word):
            return None
        return view.trimmed(int(view.start[node]), int(view.end[node]), view.kind(node))

    return draw


def _first_words(view: View, node: int, word: bytes) -> bool:
    """Whether the loop begins with `word`, perhaps behind a label."""
    return word in view.source[view.start[node] : view.start[node] + 60].split(b"\n")[0].lower().split()[:2]


if_statement = _statement(IF)
for_statement = _statement(FOR, b"for")
while_statement = _statement(WHILE, b"while")
try_statement = _statement(TRY)
switch_statement = _statement(SWITCH)


def _structure(view: View, uniform: Uniform, mask: int) -> Structure | None:
    found = view.nodes(mask)
    return structure(view, int(found[int(uniform("structure") * len(found))])) if len(found) else None


def _body(view: View, found: Structure | None) -> Span | None:
    return None if found is None else view.trimmed(found.body_start, found.body_end, view.kind(found.node))


def _header(view: View, found: Structure | None) -> Span | None:
    if found is None:
        return None
    return view.trimmed(int(view.start[found.node]), found.header_end, view.kind(found.node))


def block_body(view: View, uniform: Uniform) -> Span | None:
    """All between the brackets of a function, class, condition, loop …"""
    return _body(view, _structure(view, uniform, STRUCTURE | SIGNATURE))


def header(view: View, uniform: Uniform) -> Span | None:
    """A structure's first line or lines: `for item in items:`, `class Sums extends Base`."""
    return _header(view, _structure(view, uniform, STRUCTURE & ~CLOSURE | SIGNATURE))


def method_body(view: View, uniform: Uniform) -> Span | None:
    """All statements of a function."""
    return _body(view, _structure(view, uniform, FUNCTION | SIGNATURE))


def method_signature(view: View, uniform: Uniform) -> Span | None:
    """A function's head."""
    return _header(view, _structure(view, uniform, FUNCTION | SIGNATURE))


def single_line(view: View, uniform: Uniform) -> Span | None:
    """A whole line of a function's body."""
    found = _structure(view, uniform, FUNCTION | SIGNATURE)
    if found is None:
        return None
    span = line_at(view, found.body_start + int(uniform("place") * (found.body_end - found.body_start)))
    return span if span is not None and span.start >= found.body_start and span.end <= found.body_end else None


def _statements(view: View, uniform: Uniform) -> np.ndarray:
    found = _structure(view, uniform, FUNCTION | SIGNATURE)
    return np.zeros(0, np.int64) if found is None else found.statements


def _run(view: View, first: int, last: int) -> Span:
    return view.trimmed(int(view.start[first]), int(view.end[last]), view.kind(int(view.parent[first])))


def method_body_top(view: View, uniform: Uniform) -> Span | None:
    """A function's first statements, not all of them."""
    found = _statements(view, uniform)
    return _run(view, found[0], found[int(uniform("run") * (len(found) - 1))]) if len(found) > 1 else None


def method_body_bottom(view: View, uniform: Uniform) -> Span | None:
    """A function's last statements, not all of them."""
    found = _statements(view, uniform)
    return _run(view, found[1 + int(uniform("run") * (len(found) - 1))], found[-1]) if len(found) > 1 else None


def method_body_middle(view: View, uniform: Uniform) -> Span | None:
    """Statements of a function, neither the first nor the last one among them."""
    found = _statements(view, uniform)
    inner = len(found) - 2
    if inner < 1:
        return None
    first = int(uniform("run") * inner)
    last = first + int(uniform("run end") * (inner - first))
    return _run(view, found[1 + first], found[1 + last])


def method_with_comment(view: View, uniform: Uniform) -> Span | None:
    """A function with the comment right before it, or with a documentation string as its first statement."""
    found = _structure(view, uniform, FUNCTION | SIGNATURE)
    if found is None:
        return None
    node, end = _own_lines(view, found)
    begin = view.line_start(int(view.start[node]))
    start = _comment_before(view, begin)
    if start is not None:
        return view.trimmed(start, end, view.kind(found.node))
    first = found.statements[:1]
    if view.tree.language.name == "python" and len(first) and view.source[view.start[first[0]]] in b"\"'":
        return view.trimmed(int(view.start[node]), end, view.kind(found.node))
    return None


def _own_lines(view: View, found: Structure) -> tuple[int, int]:
    """The outermost node that is the function's lines and no more (`total <- function`), and where it ends."""
    node, end = found.node, found.end
    begin = view.line_start(int(view.start[node]))
    for _ in range(_CLIMB):
        parent = int(view.parent[node])
        if parent <= 0 or view.start[parent] < begin or view.end[parent] > end + 1 or view.roles[parent] & BLOCK:
            break
        node, end = parent, max(end, int(view.end[parent]))
    return node, end


def _comment_before(view: View, begin: int) -> int | None:
    """Start of the comments that end right above the line that begins at `begin`; None without any."""
    start = None
    while True:
        text_end = len(view.source[max(0, begin - 4096) : begin].rstrip()) + max(0, begin - 4096)
        if text_end == 0 or view.source.count(b"\n", text_end, begin) > 1:
            return start
        chain = view.around(text_end - 1)
        comments = chain[(view.roles[chain] & COMMENT != 0) | (view.tree.flags[chain] & EXTRA != 0)]
        if not len(comments):
            return start
        first = int(view.start[comments[0]])
        line = view.line_start(first)
        if view.source[line:first].strip():
            return start  # it stands behind code
        start, begin = first, line
