"""Middles that are parts of a structure: bodies, headers, and the shapes of FIM-Eval (arXiv 2410.13187).

A structure is a node whose kind `aixmeg.sfim.kinds` lists. Its body lies between the block's brackets or keywords, its
header is all before the body's bracket; both are trimmed of blanks. Each function draws once; None says that this draw
hit none, NOWHERE that none would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aixmeg.sfim.kinds import (
    BLOCK,
    CLOSE,
    CLOSURE,
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
from aixmeg.sfim.view import NOWHERE, Span, View
from aixmeg.syntax import ERROR, EXTRA, HAS_ERROR, NAMED

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
    statements: list[int]
    """Named children of the body, comments left out."""


def structure(view: View, node: int) -> Structure | None:
    """Take a structure apart; None when it has no body."""
    role = view.roles(node)
    if role & NEEDS_PARAMETER and not any(view.roles(child) & PARAMETER for child in view.children(node)):
        return None
    if role & FRAMED:
        inside = view.children(node)[1:-1]
        if not inside:
            return None
        head = view.start[inside[0]]
        return Structure(node, view.end[node], head, head, view.end[inside[-1]], _code(view, inside))
    body = _next_body(view, node) if role & SIGNATURE else view.body(node)
    if body is None:
        return None
    header_end = _before_bracket(view, view.start[body])
    end = max(view.end[node], view.end[body])
    return Structure(node, end, header_end, *_inside(view, body))


def _next_body(view: View, node: int) -> int | None:
    """The body behind a signature."""
    body = view.subtree_end(node)
    if body >= len(view.start) or view.parent[body] != view.parent[node] or not view.roles(body) & BLOCK:
        return None
    return None if view.flags[body] & (ERROR | HAS_ERROR) else body


def _inside(view: View, body: int) -> tuple[int, int, list[int]]:
    """First and last byte between a body's brackets, and its statements."""
    start, stop = view.start[body], view.end[body]
    while True:  # Dart: function_body > block > { … }
        children = view.children(body)
        if children and view.roles(children[0]) & OPEN:
            start = view.end[children.pop(0)]
        if children and view.roles(children[-1]) & CLOSE:
            stop = view.start[children.pop()]
        named = _code(view, children)
        if len(named) != 1 or not view.roles(named[0]) & LIST or view.roles(named[0]) & STRUCTURE:
            return start, stop, named
        body = named[0]


def _before_bracket(view: View, header_end: int) -> int:
    """A bracket in front of the body that is no part of the body's node (Swift's `if`) is none of the header either."""
    before = header_end - 1
    while before >= 0 and view.source[before] in b" \t\r\n":
        before -= 1
    return before if before >= 0 and view.source[before] == 0x7B else header_end


def _code(view: View, nodes: list[int]) -> list[int]:
    return [node for node in nodes if view.flags[node] & (NAMED | EXTRA) == NAMED]


def _statement(mask: int, word: bytes = b"") -> Callable[[View, Uniform], Span | None]:
    """A draw among all structures with a role of `mask`, or loops that begin with `word`."""

    def draw(view: View, uniform: Uniform) -> Span | None:
        found = view.nodes(mask | LOOP if word else mask)
        if not found:
            return NOWHERE
        node = found[int(uniform("node") * len(found))]
        if view.roles(node) & LOOP and not _first_words(view, node, word):
            return None
        return view.trimmed(view.start[node], view.end[node], view.kind(node))

    return draw


def _first_words(view: View, node: int, word: bytes) -> bool:
    """Whether the loop begins with `word`, perhaps behind a label."""
    return word in view.source[view.start[node] : view.start[node] + 60].split(b"\n")[0].lower().split()[:2]


if_statement = _statement(IF)
for_statement = _statement(FOR, b"for")
while_statement = _statement(WHILE, b"while")
try_statement = _statement(TRY)
switch_statement = _statement(SWITCH)


def _structure(view: View, uniform: Uniform, mask: int) -> Structure | Span | None:
    found = view.nodes(mask)
    return structure(view, found[int(uniform("structure") * len(found))]) if found else NOWHERE


def _body(view: View, found: Structure | Span | None) -> Span | None:
    if not isinstance(found, Structure):
        return found
    return view.trimmed(found.body_start, found.body_end, view.kind(found.node))


def _header(view: View, found: Structure | Span | None) -> Span | None:
    if not isinstance(found, Structure):
        return found
    return view.trimmed(view.start[found.node], found.header_end, view.kind(found.node))


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
    if not isinstance(found, Structure):
        return found
    span = line_at(view, found.body_start + int(uniform("place") * (found.body_end - found.body_start)))
    return span if span is not None and span.start >= found.body_start and span.end <= found.body_end else None


def _part(view: View, uniform: Uniform, choose: Callable[[int], tuple[int, int] | None]) -> Span | None:
    """Statements first to last of a function, as `choose` says for their number."""
    found = _structure(view, uniform, FUNCTION | SIGNATURE)
    if not isinstance(found, Structure):
        return found
    chosen = choose(len(found.statements))
    if chosen is None:
        return None
    first, last = (found.statements[i] for i in chosen)
    return view.trimmed(view.start[first], view.end[last], view.kind(found.node))


def method_body_top(view: View, uniform: Uniform) -> Span | None:
    """A function's first statements, not all of them."""
    return _part(view, uniform, lambda count: (0, int(uniform("run") * (count - 1))) if count > 1 else None)


def method_body_bottom(view: View, uniform: Uniform) -> Span | None:
    """A function's last statements, not all of them."""
    return _part(view, uniform, lambda count: (1 + int(uniform("run") * (count - 1)), -1) if count > 1 else None)


def method_body_middle(view: View, uniform: Uniform) -> Span | None:
    """Statements of a function, neither the first nor the last one among them."""

    def choose(count: int) -> tuple[int, int] | None:
        if count < 3:
            return None
        first = 1 + int(uniform("run") * (count - 2))
        return first, first + int(uniform("run end") * (count - 1 - first))

    return _part(view, uniform, choose)


def method_with_comment(view: View, uniform: Uniform) -> Span | None:
    """A function with the comment right before it, or with a documentation string as its first statement."""
    found = _structure(view, uniform, FUNCTION | SIGNATURE)
    if not isinstance(found, Structure):
        return found
    node, end = _own_lines(view, found)
    begin = view.line_start(view.start[node])
    start = _comment_before(view, begin)
    if start is not None:
        return view.trimmed(start, end, view.kind(found.node))
    first = found.statements[:1]
    if view.tree.language.name == "python" and first and view.source[view.start[first[0]]] in b"\"'":
        return view.trimmed(view.start[node], end, view.kind(found.node))
    return None


def _own_lines(view: View, found: Structure) -> tuple[int, int]:
    """The outermost node that is the function's lines and no more (`total <- function`), and where it ends."""
    node, end = found.node, found.end
    begin = view.line_start(view.start[node])
    for _ in range(_CLIMB):
        parent = view.parent[node]
        if parent <= 0 or view.start[parent] < begin or view.end[parent] > end + 1 or view.roles(parent) & BLOCK:
            break
        node, end = parent, max(end, view.end[parent])
    return node, end


def _comment_before(view: View, begin: int) -> int | None:
    """Start of the comments that end right above the line that begins at `begin`; None without any."""
    start = None
    while True:
        text_end = len(view.source[max(0, begin - 4096) : begin].rstrip()) + max(0, begin - 4096)
        if text_end == 0 or view.source.count(b"\n", text_end, begin) > 1:
            return start
        comments = [node for node in view.around(text_end - 1) if view.is_comment(node)]
        if not comments:
            return start
        first = view.start[comments[0]]
        line = view.line_start(first)
        if view.source[line:first].strip():
            return start  # it stands behind code
        start, begin = first, line
