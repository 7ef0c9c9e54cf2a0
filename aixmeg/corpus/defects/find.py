"""Rules over one tree: the nodes of a few kinds are looked at, each kind once for all rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from aixmeg.corpus.defects.rule import (
    CALLS,
    COMPUTED,
    FAMILIES,
    LITERAL,
    LITERALS,
    NEWS,
    Binary,
    Call,
    Condition,
    Match,
    Node,
    Pair,
    Rule,
)
from aixmeg.corpus.defects.view import View
from aixmeg.syntax import HAS_ERROR, SyntaxTree

_PAIRS = (
    "pair",
    "keyword_argument",
    "assignment_expression",
    "assignment",
    "property_assignment",
    "variable_declarator",
)
_BINARY = (
    *("binary_expression", "comparison_operator", "boolean_operator", "binary_operator", "instanceof_expression"),
    *("assignment_expression", "assignment"),
)
_ARGUMENTS, _OPERATOR, _PAIR = 1, 2, 4
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

    calls: dict[bytes, list[tuple[Rule, Call]]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[Rule, Pair]]] = field(default_factory=dict)
    operators: dict[str, list[tuple[Rule, Binary]]] = field(default_factory=dict)
    nodes: list[tuple[Rule, Node, list[bytes]]] = field(default_factory=list)
    """With the texts that the file must hold one of."""

    def add(self, rule: Rule, match: Match) -> None:
        """File a rule."""
        if isinstance(match, Call):
            for name in match.names:
                self.calls.setdefault(name.encode(), []).append((rule, match))
        elif isinstance(match, Pair):
            self.pairs.setdefault(match.key, []).append((rule, match))
        elif isinstance(match, Binary):
            for operator in match.operators:
                self.operators.setdefault(operator, []).append((rule, match))
        else:
            self.nodes.append((rule, match, [text.encode() for text in match.needs]))


class Finder:
    """`Finder(rules)(tree)`: the hits in one file, in no particular order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._known: dict[tuple[str | None, bool], np.ndarray] = {}
        self._tables: dict[str, _Table] = {family: _Table() for family in CALLS}
        for rule in rules:
            for family, match in rule.match.items():
                self._tables[family].add(rule, match)

    def __call__(self, tree: SyntaxTree) -> list[Hit]:
        """Every hit."""
        family = FAMILIES.get(tree.language.name)
        if family is None or not len(tree.start):
            return []
        table, view = self._tables[family], View(tree)
        source = tree.source
        # A rule whose text is not in the file costs nothing more.
        checks: list[Sequence[tuple[Rule, Node]]] = [()] * len(tree.kinds)
        for rule, match, needs in table.nodes:
            if not needs or any(text in source for text in needs):
                for number in (number for kind in match.kinds for number in view.names.kinds.get(kind, ())):
                    checks[number] = [*checks[number], (rule, match)]
        pairs = {key: rules for key, rules in table.pairs.items() if key.encode() in source}
        roles = self._roles(tree, bool(pairs))
        looked_at = roles.astype(bool)
        looked_at[[number for number, found in enumerate(checks) if found]] = True
        found: list[Hit] = []
        chosen = np.flatnonzero(looked_at[tree.kind] & ((tree.flags & HAS_ERROR) == 0))
        kinds = tree.kind[chosen]
        for node, kind, role in zip(chosen.tolist(), kinds.tolist(), roles[kinds].tolist(), strict=True):
            hits: Iterable[Rule] = ()
            if role == _ARGUMENTS:
                # The last name of what is called stands directly in front of the arguments.
                if rules := table.calls.get(source[view.start[node - 1] : view.end[node - 1]]):
                    hits = _calls(view, node, rules, (CALLS[family][0], NEWS[family]))
            elif role == _OPERATOR:
                hits = _operators(view, node, table.operators)
            else:
                if role:
                    found += [Hit(rule, view.start[node]) for rule in _pairs(view, node, pairs)]
                hits = [rule for rule, match in checks[kind] if match.check(view, node)]
            if hits:
                found += [Hit(rule, view.start[node]) for rule in hits]
        return found

    def _roles(self, tree: SyntaxTree, with_pairs: bool) -> np.ndarray:
        """What is done with a node of each kind: uint8 [kinds of the grammar]."""
        key = tree.language.grammar, with_pairs
        found = self._known.get(key)
        if found is None:
            family = FAMILIES[tree.language.name]
            found = np.zeros(len(tree.kinds), np.uint8)
            for role, kinds in (
                (_ARGUMENTS, (CALLS[family][1],)),
                (_PAIR, _PAIRS if with_pairs else ()),
                (_OPERATOR, self._tables[family].operators),
            ):
                found |= role * np.array([bool(name) and name in kinds for name in tree.kinds], np.uint8)
            self._known[key] = found
        return found


def _operators(view: View, token: int, table: dict[str, list[tuple[Rule, Binary]]]) -> Iterator[Rule]:
    """Rules for the expression that an operator's token stands in."""
    node = view.parent[token]
    if node < 0 or view.kind(node) not in _BINARY:
        return
    parts = view.children(node)
    if len(parts) == 3 and parts[1] == token:
        for rule, match in table[view.kind(token)]:
            if match.check(view, node, parts[0], parts[2]):
                yield rule


def _calls(view: View, holder: int, rules: Sequence[tuple[Rule, Call]], kinds: tuple[str, str]) -> Iterator[Rule]:
    """Rules for the call whose arguments are the node `holder`."""
    node = view.parent[holder]
    if view.kind(node) not in kinds:
        return
    is_new = view.kind(node) != kinds[0]
    # Text in front of the name: Java keeps the object apart, the others write it into what is called.
    receiver = view.source[view.start[node] : view.start[holder - 1]][-200:].decode(errors="replace")
    receiver = receiver.rstrip().rstrip(".:->?").strip()
    arguments: list[int] | None = None
    for rule, call in rules:
        if call.new != is_new or (
            call.on is not None and not is_new and not re.fullmatch(call.on, receiver, re.DOTALL)
        ):
            continue
        if arguments is None:
            arguments = view.named(holder)
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
