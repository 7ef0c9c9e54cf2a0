"""Checks of single nodes that rules of several languages share. Each gets a node of the kinds that its rule names.

Nothing recurses, and nothing looks further than a node's children and theirs, so that a file takes linear time.
"""

from __future__ import annotations

import re
from typing import Final

from aixmeg.corpus.defects.rule import BinaryCheck, Check
from aixmeg.corpus.defects.view import View

COMPARISONS: Final = ("==", "===", "<", ">", "<=", ">=")
EQUALITIES: Final = ("==", "===", "!=", "!==")
ORDERS: Final = ("<", ">", "<=", ">=")
JUMPS: Final = ("return_statement", "throw_statement", "raise_statement", "break_statement", "continue_statement")
_NUMBER = re.compile(r"[\d.]+")
_MAX: Final = 400
"""Longest operands, in bytes, whose texts are compared."""


def twins(view: View, node: int, left: int, right: int) -> bool:
    """Both operands are the same; names in capitals are let be, since what they stand for folds."""
    if view.end[left] - view.start[left] > _MAX or not view.same(left, right):
        return False
    return view.calls_nothing(left) and not _NUMBER.fullmatch(view.text(left)) and not view.text(left).isupper()


def assigned_to_itself(view: View, node: int, left: int, right: int) -> bool:
    """`x = x`; in Python only `a.x = a.x`, since `x = x` in a class body takes a name in."""
    if view.end[left] - view.start[left] > _MAX or not view.same(left, right) or not view.calls_nothing(left):
        return False
    kinds = ("identifier", "field_expression", "field_access", "member_expression", "attribute")
    return view.kind(left) in (kinds if view.tree.language.name != "python" else ("attribute",))


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
    others = [one for one in view.children(node) if view.kind(one) == "elif_clause"]
    if not others or view.kind(node) != "if_statement":
        below = _branch(view, node)
        if below is None or view.kind(below) != "if_statement":
            return False
        others = [below]
    condition = view.field(node, "condition")
    if condition is None or not view.calls_nothing(view.plain(condition)):
        return False
    conditions = [view.field(one, "condition") for one in others]
    return any(one is not None and view.same(condition, one) for one in conditions)


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
    if around < 0 or view.end[around] == view.end[node] or view.source[view.end[node] :][:80].lstrip()[:1] == b"}":
        return False
    if view.kind(around) not in ("compound_statement", "block", "statement_block"):
        return False
    siblings = view.named(around)
    place = siblings.index(node) if len(siblings) < 2000 else len(siblings)
    if place + 1 >= len(siblings):
        return False
    after, text = view.kind(siblings[place + 1]), view.text(siblings[place + 1])
    if any(
        word in after for word in ("label", "case", "function", "class", "preproc", "declaration", "empty", "ERROR")
    ):
        return False
    return after != "expression_statement" or not text.startswith(("'", '"', "yield"))


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
    if view.kind(condition) == "expression_statement" and view.named(condition):
        condition = view.named(condition)[0]
    parts = view.children(condition) if view.kind(condition) == "binary_expression" else []
    if len(parts) != 3:
        return False
    name, step, operator = view.text(parts[0]), view.text(update), view.text(parts[1])
    pattern = _BACK if operator in ("<", "<=") else _ON if operator in (">", ">=") else None
    match = pattern.match(step) if pattern is not None else None
    # A step may be negative itself, as in `i += step`: only literal ones are judged.
    if match is None or name not in match.groups():
        return False
    return "=" not in step or re.search(r"=\s*\d+$", step) is not None


def negated_left(view: View, node: int, left: int, right: int) -> bool:
    """`!a == b`, `!a in b`, `!a instanceof B`: the negation binds to `a` alone."""
    text, other = view.text(left)[:80], view.text(right)[:80]
    if view.kind(left) != "unary_expression" or not text.startswith("!") or text.startswith(("!!", "!(", "!operator")):
        return False
    # `!a == !b` and `!a == true` compare truth values on purpose.
    return not other.startswith("!") and other not in ("true", "false", "TRUE", "FALSE")


def mask_after_comparison(view: View, node: int, left: int, right: int) -> bool:
    """`a & b == c` is `a & (b == c)`."""
    return view.kind(right) == "binary_expression" and view.operator(right) in EQUALITIES


def compares_a_comparison(view: View, node: int, left: int, right: int) -> bool:
    """`a < b < c` compares the outcome of `a < b` with c. In C++ that may be a template that was not understood."""
    if view.kind(left) != "binary_expression":
        return False
    operators = {view.operator(left), view.operator(node)}
    wanted = {"<=", ">="} if view.tree.language.name in ("c++", "typescript", "tsx") else set(ORDERS)
    return operators <= set(ORDERS) and bool(operators & wanted)


def divides_by_zero(view: View, node: int, left: int, right: int) -> bool:
    """`x / 0` of integers; a number divided by zero is meant to fail."""
    return view.bytes(right) == b"0" and not _NUMBER.fullmatch(view.text(left)) and "." not in view.text(left)


def shifts_too_far(view: View, node: int, left: int, right: int) -> bool:
    """A shift by 64 or more, or by a negative number; in C++ `<<` has other meanings, and 128 bits are common."""
    text, cpp = view.bytes(right), view.tree.language.name == "c++"
    if len(text) > 8 or (cpp and view.operator(node) == "<<"):
        return False
    return (text.isdigit() and text[:1] != b"0" and int(text) >= (128 if cpp else 64)) or re.fullmatch(
        rb"-\d+", text
    ) is not None


_LENGTH = re.compile(rb"(?:.*\.(?:length|size\(\)|length\(\))|strlen\(.*\)|sizeof\b.*|len\(.*\))", re.DOTALL)


def never_negative(view: View, node: int, left: int, right: int) -> bool:
    """`x.length < 0`, `strlen(s) < 0`, `v.size() < 0`."""
    return view.bytes(right) == b"0" and _LENGTH.fullmatch(view.bytes(left)[-200:]) is not None


def compares_for_nothing(view: View, node: int) -> bool:
    """`a == b;` as a statement; Python's grammar has no node around an expression that is a statement."""
    if view.kind(node) == "comparison_operator":
        inner = [node] if view.parent[node] >= 0 and view.kind(view.parent[node]) in ("module", "block") else []
    else:
        inner = view.named(node)
    if len(inner) != 1 or view.kind(inner[0]) not in ("binary_expression", "comparison_operator"):
        return False
    return view.operator(inner[0]) in ("==", "===") and view.calls_nothing(inner[0])


def mistyped_operator(view: View, node: int, left: int, right: int) -> bool:
    """`x =+ 1` and `x =- 1`, where the blank shows that `+=` was meant."""
    between = view.source[view.end[left] : view.start[right] + 2]
    return re.fullmatch(rb"\s*=[+-]\s", between) is not None


def repeats_key(view: View, node: int) -> bool:
    """One key twice in an object or dict literal."""
    seen: set[str] = set()
    for one in view.named(node):
        key = view.field(one, "key") if view.kind(one) == "pair" else None
        if key is None or view.kind(key) in ("computed_property_name", "call", "subscript", "attribute"):
            continue
        text = view.text(key)
        if view.kind(node) == "object":
            text = text[1:-1] if text[:1] in ("'", '"') else text
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


def either_side(pattern: str) -> BinaryCheck:
    """One of the operands matches in full."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(view: View, node: int, left: int, right: int) -> bool:
        return any(
            view.end[one] - view.start[one] <= _MAX and compiled.fullmatch(view.text(one)) for one in (left, right)
        )

    return check


def whole(pattern: str, limit: int = 300) -> BinaryCheck:
    """The text of the whole expression, not longer than `limit`, matches in full."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(view: View, node: int, left: int, right: int) -> bool:
        return view.end[node] - view.start[node] <= limit and compiled.fullmatch(view.text(node)) is not None

    return check
