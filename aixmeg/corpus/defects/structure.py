"""Checks of single nodes that rules of several languages share. Each gets a node of the kinds that its rule names.

Nothing recurses, and nothing looks further than a node's children and theirs, so that a file takes linear time.
"""

from __future__ import annotations

import re
from typing import Final

from aixmeg.corpus.defects.rule import Check
from aixmeg.corpus.defects.view import View

_COMPARE: Final = frozenset({"==", "===", "<", ">", "<=", ">=", "!=", "!=="})
_JUMPS: Final = frozenset(
    {"return_statement", "throw_statement", "raise_statement", "break_statement", "continue_statement"}
)
_NUMBER = re.compile(r"\d+")
_MAX: Final = 400
"""Longest operands, in bytes, whose texts are compared."""


def sides(view: View, node: int) -> tuple[int, str, int] | None:
    """Left operand, operator and right operand of a binary node; Python's comparison has them as plain children."""
    if view.kind(node) == "comparison_operator":
        parts = view.children(node)
        return (parts[0], view.text(parts[1]), parts[2]) if len(parts) == 3 else None
    found = view.fields(node, "left", "right")
    return None if found is None else (found[0], view.operator(node), found[1])


def _twins(view: View, node: int, operators: frozenset[str]) -> bool:
    parts = sides(view, node)
    if parts is None or parts[1] not in operators or view.end[parts[0]] - view.start[parts[0]] > _MAX:
        return False
    left = view.plain(parts[0])
    if not view.calls_nothing(left) or not view.same(left, view.plain(parts[2])):
        return False
    return not _NUMBER.fullmatch(view.text(left)) and not view.text(left).isupper()  # constants fold


def compared_with_itself(view: View, node: int) -> bool:
    """`x == x`; `x != x` is the usual test for NaN, and is let be."""
    return _twins(view, node, _COMPARE - {"!=", "!=="})


def same_operands(view: View, node: int) -> bool:
    """`a && a`, `a || a`."""
    return _twins(view, node, frozenset({"&&", "||", "and", "or"}))


def same_terms(view: View, node: int) -> bool:
    """`x - x`, `x / x`, `x % x`, `x ^ x`."""
    return _twins(view, node, frozenset({"-", "/", "%", "^"}))


def same_bits(view: View, node: int) -> bool:
    """`x & x`, `x | x`."""
    return _twins(view, node, frozenset({"&", "|"}))


def assigned_to_itself(view: View, node: int) -> bool:
    """`x = x`."""
    found = view.fields(node, "left", "right")
    if found is None or view.operator(node) != "=" or view.end[node] - view.start[node] > _MAX:
        return False
    if view.kind(found[0]) not in ("identifier", "field_expression", "field_access", "member_expression", "attribute"):
        return False
    return view.calls_nothing(found[0]) and view.same(*found)


def _branch(view: View, node: int) -> int | None:
    """What stands behind `else`, itself."""
    found = view.field(node, "alternative")
    if found is not None and view.kind(found) == "else_clause":
        inner = view.named(found)
        return inner[-1] if inner else None
    return found


def branches_agree(view: View, node: int) -> bool:
    """`if (c) { x } else { x }`."""
    first, other = view.field(node, "consequence"), _branch(view, node)
    if first is None or other is None or view.kind(other) in ("if_statement", "elif_clause"):
        return False
    return view.end[first] - view.start[first] <= 4000 and len(view.named(first)) > 0 and view.same(first, other)


def condition_repeats(view: View, node: int) -> bool:
    """`if (a) … else if (a)`: the second is never taken."""
    condition = view.field(node, "condition")
    if condition is None or not view.calls_nothing(view.plain(condition)):
        return False
    if view.kind(node) == "if_statement" and any(view.kind(one) == "elif_clause" for one in view.children(node)):
        others = [view.field(one, "condition") for one in view.children(node) if view.kind(one) == "elif_clause"]
        return any(one is not None and view.same(condition, one) for one in others)
    below = _branch(view, node)
    if below is None or view.kind(below) != "if_statement":
        return False
    other = view.field(below, "condition")
    return other is not None and view.same(condition, other)


def assigns_in_condition(view: View, node: int) -> bool:
    """`if (a = b)`; a second pair of parentheses says that it is meant."""
    condition = view.field(node, "condition")
    if condition is None:
        return False
    inner = view.named(condition) if view.kind(condition) in ("parenthesized_expression", "condition_clause") else []
    if len(inner) != 1 or view.kind(inner[0]) != "assignment_expression" or view.operator(inner[0]) != "=":
        return False
    right = view.field(inner[0], "right")
    # `if (p = next())` is an idiom; a constant or a plain name on the right is the slip.
    return right is not None and view.kind(right) in (
        "identifier", "number_literal", "number", "decimal_integer_literal", "string", "string_literal", "true",
        "false", "null",
    )  # fmt: skip


def empty_then(view: View, node: int) -> bool:
    """`if (c);`."""
    body = view.field(node, "consequence")
    return body is not None and view.text(body) == ";" and _next_is_block(view, node)


def empty_loop(view: View, node: int) -> bool:
    """`while (c);` in front of a block that was meant to be its body."""
    body = view.field(node, "body")
    return body is not None and view.text(body) == ";" and _next_is_block(view, node)


def _next_is_block(view: View, node: int) -> bool:
    around = view.parent[node]
    if around < 0:
        return False
    siblings = view.children(around)
    place = siblings.index(node) if len(siblings) < 2000 else -1
    return 0 <= place < len(siblings) - 1 and view.kind(siblings[place + 1]) in (
        "compound_statement",
        "block",
        "statement_block",
    )


def unreachable(view: View, node: int) -> bool:
    """A statement behind return, throw, break or continue in one block; labels, cases and declarations of functions may
    be reached otherwise, and the preprocessor may leave the jump out."""
    around = view.parent[node]
    if around < 0 or view.kind(around) not in ("compound_statement", "block", "statement_block"):
        return False
    siblings = view.named(around)
    if len(siblings) > 2000:
        return False
    place = siblings.index(node)
    if place + 1 >= len(siblings):
        return False
    after = view.kind(siblings[place + 1])
    return not any(
        word in after for word in ("label", "case", "function", "class", "preproc", "declaration", "empty", "ERROR")
    ) and (after != "expression_statement" or not view.text(siblings[place + 1]).startswith(("'", '"', "yield")))


JUMPS: Final = tuple(sorted(_JUMPS))


def swallows(view: View, node: int) -> bool:
    """A catch whose block is empty, without a comment that says why."""
    body = view.field(node, "body")
    if body is None:
        return False
    inner = view.text(body).strip("{} \t\r\n")
    return inner == ""


def jumps_out_of_finally(view: View, node: int) -> bool:
    """`finally { return … }` throws an exception away."""
    body = view.field(node, "body") or next((one for one in view.named(node)), None)
    return body is not None and any(view.kind(one) == "return_statement" for one in view.named(body))


_BACK = re.compile(r"^(?:(\w+)\s*--|--\s*(\w+)|(\w+)\s*-=.*)$", re.DOTALL)
_ON = re.compile(r"^(?:(\w+)\s*\+\+|\+\+\s*(\w+)|(\w+)\s*\+=.*)$", re.DOTALL)


def counts_the_wrong_way(view: View, node: int) -> bool:
    """`for (i = 0; i < n; i--)`."""
    condition = view.field(node, "condition")
    update = view.field(node, "update") or view.field(node, "increment")
    if condition is None or update is None:
        return False
    condition = (
        view.named(condition)[0]
        if view.kind(condition) == "expression_statement" and view.named(condition)
        else condition
    )
    parts = sides(view, view.plain(condition)) if "binary" in view.kind(view.plain(condition)) else None
    if parts is None:
        return False
    name, step = view.text(parts[0]), view.text(update)
    pattern = _BACK if parts[1] in ("<", "<=") else _ON if parts[1] in (">", ">=") else None
    match = pattern.match(step) if pattern is not None else None
    # A step may be negative itself, as in `i += step`: only literal ones are judged.
    if match is None or name not in match.groups():
        return False
    return "=" not in step or re.search(r"=\s*\d+$", step) is not None


def negated_left(view: View, node: int) -> bool:
    """`!a == b`, `!a in b`, `!a instanceof B`: the negation binds to `a` alone."""
    parts = sides(view, node)
    if parts is None or parts[1] not in {*_COMPARE, "in", "instanceof"} - {"!=", "!=="}:
        return False
    if view.kind(parts[0]) != "unary_expression" or not view.text(parts[0]).startswith("!"):
        return False
    other = view.text(parts[2])
    # `!a == !b` and `!a == true` compare truth values on purpose.
    return (
        not other.startswith("!")
        and other not in ("true", "false", "TRUE", "FALSE")
        and not view.text(parts[0]).startswith("!!")
    )


def mask_after_comparison(view: View, node: int) -> bool:
    """`a & b == c` is `a & (b == c)`."""
    parts = sides(view, node)
    if parts is None or parts[1] not in ("&", "|"):
        return False
    right = parts[2]
    return view.kind(right) == "binary_expression" and view.operator(right) in ("==", "!=", "===", "!==")


def compares_a_comparison(view: View, node: int) -> bool:
    """`a < b < c` compares the outcome of `a < b` with c."""
    parts = sides(view, node)
    if parts is None or parts[1] not in ("<", ">", "<=", ">="):
        return False
    left = parts[0]
    return view.kind(left) == "binary_expression" and view.operator(left) in ("<", ">", "<=", ">=")


def divides_by_zero(view: View, node: int) -> bool:
    """`x / 0` of integers."""
    parts = sides(view, node)
    return (
        parts is not None
        and parts[1] in ("/", "%", "//")
        and view.text(parts[2]) == "0"
        and "." not in view.text(parts[0])
    )


def shifts_too_far(view: View, node: int) -> bool:
    """A shift by 64 or more, or by a negative number."""
    parts = sides(view, node)
    if parts is None or parts[1] not in ("<<", ">>", ">>>"):
        return False
    text = view.text(parts[2])
    return (text.isdigit() and not text.startswith("0") and len(text) < 9 and int(text) >= 64) or re.fullmatch(
        r"-\d+", text
    ) is not None


def never_negative(view: View, node: int) -> bool:
    """`x.length < 0`, `strlen(s) < 0`, `v.size() < 0`."""
    parts = sides(view, node)
    if parts is None or (parts[1], view.text(parts[2])) not in (("<", "0"), (">=", "0")):
        return False
    return (
        re.fullmatch(
            r"(?:.*\.(?:length|size\(\)|length\(\))|strlen\(.*\)|sizeof\b.*|len\(.*\))",
            view.text(parts[0])[-200:],
            re.DOTALL,
        )
        is not None
    )


def compares_for_nothing(view: View, node: int) -> bool:
    """`a == b;` as a statement; Python's grammar has no node around an expression that is a statement."""
    if view.kind(node) == "comparison_operator":
        inner = [node] if view.parent[node] >= 0 and view.kind(view.parent[node]) in ("module", "block") else []
    else:
        inner = view.named(node)
    if len(inner) != 1 or view.kind(inner[0]) not in ("binary_expression", "comparison_operator"):
        return False
    parts = sides(view, inner[0])
    return parts is not None and parts[1] in ("==", "===") and view.calls_nothing(inner[0])


def mistyped_operator(view: View, node: int) -> bool:
    """`x =+ 1` and `x =- 1`, where the blank shows that `+=` was meant."""
    found = view.fields(node, "left", "right")
    if found is None or view.operator(node) != "=":
        return False
    between = view.source[view.end[found[0]] : view.start[found[1]] + 2]
    return re.fullmatch(rb"\s*=[+-]\s", between[: between.find(b"=") + 3]) is not None and between[-2:-1] in b"+-"


def repeats_key(view: View, node: int) -> bool:
    """One key twice in an object or dict literal."""
    seen: set[str] = set()
    for one in view.named(node):
        key = view.field(one, "key") if view.kind(one) == "pair" else None
        if key is None or view.kind(key) in ("computed_property_name", "call", "subscript", "attribute"):
            continue
        text = view.text(key)
        if view.kind(node) == "object":
            text = text.strip("'\"")
        elif view.kind(key) not in ("string", "integer"):
            continue
        if view.kind(key) == "string" and any(view.kind(part) == "interpolation" for part in view.children(key)):
            continue
        if text in seen:
            return True
        seen.add(text)
    return False


def repeats_case(view: View, node: int) -> bool:
    """One value twice in a switch."""
    seen: set[str] = set()
    for one in view.children(node):
        label = one if view.kind(one) in ("case_statement", "switch_case") else None
        value = view.field(label, "value") if label is not None else None
        if value is None or not view.calls_nothing(value):
            continue
        if (text := "".join(view.text(value).split())) in seen:
            return True
        seen.add(text)
    return False


def repeats_parameter(view: View, node: int) -> bool:
    """One name twice in a list of parameters."""
    names = []
    for one in view.named(node):
        pattern = view.field(one, "pattern") if view.kind(one) in ("required_parameter", "optional_parameter") else one
        if pattern is not None and view.kind(pattern) == "identifier":
            names.append(view.text(pattern))
    return any(name != "_" and names.count(name) > 1 for name in set(names))


def result_unused(pattern: re.Pattern[str]) -> Check:
    """A statement that is nothing but a call, matched by `pattern` at its end, which only returns a new value."""

    def check(view: View, node: int) -> bool:
        inner = view.named(node)
        if len(inner) != 1 or view.kind(inner[0]) not in ("call_expression", "method_invocation", "call"):
            return False
        return pattern.search(view.text(inner[0])[-200:]) is not None

    return check


def text_matches(pattern: str, limit: int = 300) -> Check:
    """The node's own text, not longer than `limit`, matches in full."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(view: View, node: int) -> bool:
        return view.end[node] - view.start[node] <= limit and compiled.fullmatch(view.text(node)) is not None

    return check


def compares_text(operators: tuple[str, ...], pattern: str) -> Check:
    """A comparison one of whose sides matches in full."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(view: View, node: int) -> bool:
        parts = sides(view, node)
        if parts is None or parts[1] not in operators:
            return False
        return any(
            view.end[one] - view.start[one] <= _MAX and compiled.fullmatch(view.text(one))
            for one in (parts[0], parts[2])
        )

    return check
