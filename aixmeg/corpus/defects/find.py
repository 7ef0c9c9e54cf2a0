"""Rules over one tree: the nodes of a few kinds are looked at, each kind once for all rules."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from aixmeg.corpus.defects.rule import (
    CALLS,
    COMPUTED,
    FAMILIES,
    LITERAL,
    LITERALS,
    NEWS,
    Call,
    Condition,
    Node,
    Pair,
    Rule,
)
from aixmeg.corpus.defects.view import View
from aixmeg.syntax import SyntaxTree

_PAIRS = (
    "pair",
    "keyword_argument",
    "assignment_expression",
    "assignment",
    "property_assignment",
    "variable_declarator",
)
_NAME_END = re.compile(r"[\w$]+$")
_SPLIT = re.compile(r"[.:>]+")


@dataclass(frozen=True)
class Hit:
    """A rule found something."""

    rule: Rule
    start: int
    """First byte of the node."""


@dataclass
class _Table:
    """The rules of one family, by what they look at."""

    calls: dict[str, list[tuple[Rule, Call]]] = field(default_factory=dict)
    news: dict[str, list[tuple[Rule, Call]]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[Rule, Pair]]] = field(default_factory=dict)
    nodes: dict[str, list[tuple[Rule, Node]]] = field(default_factory=dict)


class Finder:
    """`Finder(rules)(tree)`: the hits in one file, in no particular order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._tables: dict[str, _Table] = {family: _Table() for family in CALLS}
        for rule in rules:
            for family, match in rule.match.items():
                table = self._tables[family]
                if isinstance(match, Call):
                    for name in match.names:
                        (table.news if match.new else table.calls).setdefault(name, []).append((rule, match))
                elif isinstance(match, Pair):
                    table.pairs.setdefault(match.key, []).append((rule, match))
                else:
                    for kind in match.kinds:
                        table.nodes.setdefault(kind, []).append((rule, match))

    def __call__(self, tree: SyntaxTree) -> list[Hit]:
        """Every hit."""
        family = FAMILIES.get(tree.language.name)
        if family is None or not len(tree.start):
            return []
        table, view = self._tables[family], View(tree)
        wanted = _wanted(tree.kinds, (CALLS[family][0], NEWS[family][0], *_PAIRS, *table.nodes))
        found: list[Hit] = []
        for node in np.flatnonzero(wanted[tree.kind]).tolist():
            if not view.is_sound(node):
                continue
            kind = view.kind(node)
            rules = [rule for rule, match in table.nodes.get(kind, ()) if match.check(view, node)]
            if kind == CALLS[family][0]:
                rules += _calls(view, node, table.calls, CALLS[family][1])
            if kind == NEWS[family][0]:
                rules += _calls(view, node, table.news, NEWS[family][1])
            if kind in _PAIRS:
                rules += _pairs(view, node, table.pairs)
            found += [Hit(rule, view.start[node]) for rule in rules]
        return found


@functools.lru_cache(maxsize=64)
def _wanted(names: tuple[str, ...], kinds: tuple[str, ...]) -> np.ndarray:
    """bool [kinds of the grammar]: which are looked at."""
    chosen = set(kinds) - {""}
    return np.array([name in chosen for name in names])


def _calls(view: View, node: int, table: dict[str, list[tuple[Rule, Call]]], role: str) -> Iterator[Rule]:
    called = view.field(node, role)
    if called is None:
        return
    whole = view.bytes(called)
    if len(whole) > 200:  # a chain of calls: only its last name counts
        whole = whole[-200:]
    match = _NAME_END.search(whole.decode(errors="replace").partition("<")[0].rstrip())
    if match is None or match[0] not in table:
        return
    before = match.string[: match.start()].rstrip()
    receiver = view.field(node, "object")  # Java keeps it apart from the name
    if receiver is not None:
        before = view.text(receiver) + "."
    arguments: list[int] | None = None
    for rule, call in table[match[0]]:
        if call.on is not None and not re.fullmatch(call.on, before.rstrip(".:->").strip()):
            continue
        if arguments is None:
            holder = view.field(node, "arguments")
            arguments = view.named(holder) if holder is not None else []
        if call.count is not None and len(arguments) != call.count:
            continue
        if all(_holds(view, arguments, index, condition) for index, condition in call.args.items()):
            yield rule


def _holds(view: View, arguments: Sequence[int], index: int, condition: Condition) -> bool:
    if not -len(arguments) <= index < len(arguments):
        return False
    node = arguments[index]
    if condition == LITERAL:
        return is_literal(view, node)
    if condition == COMPUTED:
        return not is_literal(view, node)
    text = view.bytes(node)
    return len(text) <= 2000 and re.fullmatch(condition, text.decode(errors="replace"), re.DOTALL) is not None


def is_literal(view: View, node: int) -> bool:
    """Whether it is a constant by its looks: a literal, literals added up, a template or an f-string without holes, or
    a name in capitals."""
    node = view.plain(node)
    kind = view.kind(node)
    if kind in ("string", "template_string"):
        return not any(view.kind(one) in ("interpolation", "template_substitution") for one in view.children(node))
    if kind in LITERALS:
        return True
    if kind in ("binary_expression", "binary_operator"):
        sides = view.fields(node, "left", "right")
        return (
            sides is not None
            and view.end[node] - view.start[node] < 2000
            and all(is_literal(view, one) for one in sides)
        )
    return kind in ("identifier", "field_access", "member_expression") and view.text(node).rpartition(".")[2].isupper()


def _pairs(view: View, node: int, table: dict[str, list[tuple[Rule, Pair]]]) -> Iterator[Rule]:
    for left, right in (("key", "value"), ("name", "value"), ("left", "right")):
        sides = view.fields(node, left, right)
        if sides is None:
            continue
        key = _SPLIT.split(view.text(sides[0])[-80:].strip("'\"] "))[-1].strip("'\"[ ")
        for rule, pair in table.get(key, ()):
            value = view.bytes(sides[1])
            if len(value) <= 200 and re.fullmatch(pair.value, value.decode(errors="replace"), re.DOTALL):
                yield rule
        return
