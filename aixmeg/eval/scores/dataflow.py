"""Where the values of a program's names come from, as CodeBLEU compares it (Ren et al., arXiv 2009.10297).

A flow is (name, relation, the names it comes from), the names numbered by their first appearance, so that renaming
changes nothing. The rules below are the `codebleu` package's (0.7.0), with what they leave out: plain assignments in
JavaScript, declarations in C++. Two things differ: where it lists several names in the order of a hash table, which
another run of it changes, they stand here in the order of the text; and a name behind a character outside ASCII is read
as it is, where it takes offsets in bytes for offsets in characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aixmeg.eval.scores.dataflow_rules import RULES, Rules
from aixmeg.syntax import SyntaxTree

Flow = tuple[int, str, tuple[int, ...]]
States = Mapping[str, tuple[int, ...]]
"""Name → the tokens that its value may come from."""
_BRANCHES: Final = ("elif_clause", "else_clause")
_STRINGS: Final = frozenset(("string_literal", "string", "character_literal"))
_MOST_WORK: Final = 1_000_000
"""Nodes visited, names copied and flows made of one program: each loop's body is read twice, so that loops in loops
take exponential time."""


class _NoFlow(Exception):
    """The rules do not fit the tree, mostly because of a syntax error in it; or it would take too long."""


@dataclass(frozen=True, slots=True)
class _Edge:
    token: int
    name: str
    relation: str
    names: tuple[str, ...]
    tokens: tuple[int, ...]


def flows(tree: SyntaxTree) -> list[Flow]:
    """The flows of a program in the order of its text; none where the rules do not fit, it is nested deeper than Python
    recurses, or it takes too long."""
    try:
        edges = _Reader(tree, RULES[tree.language.name]).read()
    except (_NoFlow, RecursionError):
        return []
    used = {edge.token for edge in edges if edge.tokens} | {token for edge in edges for token in edge.tokens}
    merged: dict[int, _Edge] = {}
    for edge in sorted(edges, key=lambda edge: edge.token):
        if edge.token in used:
            old = merged.get(edge.token)
            merged[edge.token] = edge if old is None else _union(old, edge)
    numbers: dict[str, int] = {}
    found = []
    for edge in merged.values():
        parents = tuple(numbers.setdefault(name, len(numbers)) for name in edge.names)
        found.append((numbers.setdefault(edge.name, len(numbers)), edge.relation, parents))
    return found


def _union(one: _Edge, other: _Edge) -> _Edge:
    names = tuple(dict.fromkeys(one.names + other.names))
    return _Edge(one.token, one.name, one.relation, names, tuple(sorted({*one.tokens, *other.tokens})))


def _either(states: Iterable[States]) -> States:
    """What holds behind branches."""
    found: dict[str, set[int]] = {}
    for one in states:
        for name, tokens in one.items():
            found.setdefault(name, set()).update(tokens)
    return {name: tuple(sorted(tokens)) for name, tokens in found.items()}


class _Reader:
    """Goes through one tree; `edges` grows in the order in which values are found."""

    def __init__(self, tree: SyntaxTree, rules: Rules) -> None:
        self._rules, self._python = rules, tree.language.name == "python"
        self._kind = [tree.kinds[kind] for kind in tree.kind.tolist()]
        self._field = [tree.fields[field] for field in tree.field.tolist()]
        self._span = list(zip(tree.start.tolist(), tree.end.tolist(), strict=True))
        self._children: list[list[int]] = [[] for _ in self._kind]
        for node, parent in enumerate(tree.parent.tolist()):
            if parent >= 0:
                self._children[parent].append(node)
        # Tokens are known by where they stand: of several without bytes at one place, the last one counts.
        self._tokens: dict[tuple[int, int], tuple[int, str]] = {}
        for number, node in enumerate(self._leaves(0)):
            start, end = self._span[node]
            text = tree.source[start:end].decode("utf-8", "replace").replace("\n", "")
            self._tokens[self._span[node]] = number, text
        self._edges: list[_Edge] = []
        self._work = 0

    def read(self) -> list[_Edge]:
        """All edges."""
        self._visit(0, {})
        return self._edges

    # -- the tree

    def _is_leaf(self, node: int) -> bool:
        kind = self._kind[node]
        return (not self._children[node] or kind in _STRINGS) and kind != "comment"

    def _leaves(self, node: int) -> list[int]:
        found, stack = [], [node]
        while stack:
            node = stack.pop()
            if self._is_leaf(node):
                found.append(node)
            else:
                stack.extend(reversed(self._children[node]))
        return found

    def _token(self, node: int) -> tuple[int, str]:
        try:
            return self._tokens[self._span[node]]
        except KeyError:
            raise _NoFlow from None  # part of a string

    def _variables(self, node: int) -> list[tuple[int, str]]:
        """Tokens inside a node that are no keywords and operators."""
        found = [(leaf, *self._token(leaf)) for leaf in self._leaves(node)]
        return [(token, text) for leaf, token, text in found if self._kind[leaf] != text]

    def _part(self, node: int, field: str) -> int | None:
        return next((child for child in self._children[node] if self._field[child] == field), None)

    def _needed(self, node: int, field: str) -> int:
        found = self._part(node, field)
        if found is None:
            raise _NoFlow
        return found

    # -- the rules

    def _visit(self, node: int, states: States) -> States:
        self._spend(1)
        kind, rules = self._kind[node], self._rules
        if self._is_leaf(node):
            read = self._leaf
        elif kind in rules.define:
            read = self._definition
        elif kind in rules.assign:
            read = self._assignment
        elif kind in rules.increase:
            read = self._increase
        elif kind in rules.branch:
            read = self._branches
        elif kind in (rules.loop, rules.each, "while_statement"):
            read = self._loop
        else:
            read = self._others
        return read(node, states)

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            raise _NoFlow

    def _with(self, states: States, made: Iterable[tuple[int, str]]) -> States:
        self._spend(len(states))
        return {**states, **{text: (token,) for token, text in made}}

    def _others(self, node: int, states: States) -> States:
        children = self._children[node]
        if self._python:  # a comprehension's loop comes before what it makes
            children = sorted(children, key=lambda child: self._kind[child] != "for_in_clause")
        return self._all(children, states)

    def _all(self, nodes: Iterable[int], states: States) -> States:
        for node in nodes:
            states = self._visit(node, states)
        return states

    def _leaf(self, node: int, states: States) -> States:
        token, text = self._token(node)
        if self._kind[node] == text:
            return states
        if text in states:
            self._edges.append(_Edge(token, text, "comesFrom", (text,), states[text]))
            return states
        self._edges.append(_Edge(token, text, "comesFrom", (), ()))
        return self._with(states, [(token, text)]) if self._kind[node] == "identifier" else states

    def _flow(
        self, names: Sequence[tuple[int, str]], values: Sequence[tuple[int, str]], relation: str, states: States
    ) -> States:
        """Every value flows into every name, an edge each."""
        self._spend(len(names) * len(values))
        for token, name in names:
            self._edges.extend(_Edge(token, name, relation, (value,), (place,)) for place, value in values)
        return self._with(states, names)

    def _definition(self, node: int, states: States) -> States:
        if self._rules.by_place:
            children = self._children[node]
            name, value = children[0], children[1] if len(children) == 2 else None
        else:
            name, value = self._needed(node, "name"), self._part(node, "value")
        if value is None:
            names = self._variables(name)
            self._edges.extend(_Edge(token, text, "comesFrom", (), ()) for token, text in names)
            return self._with(states, names)
        names, values = self._variables(name), self._variables(value)
        return self._flow(names, values, "comesFrom", self._visit(value, states))

    def _assignment(self, node: int, states: States) -> States:
        if not self._python:
            left, right = self._needed(node, "left"), self._needed(node, "right")
            states = self._visit(right, states)
            return self._flow(self._variables(left), self._variables(right), "computedFrom", states)
        if self._kind[node] == "for_in_clause":
            return self._pairs([self._needed(node, "left")], [self._children[node][-1]], states)
        if self._part(node, "right") is None:
            return states
        return self._pairs(*self._sides(node), states)

    def _sides(self, node: int) -> tuple[list[int], list[int]]:
        """`a, b = c, d` piece by piece where both sides have as many, else each as a whole."""
        left, right = self._needed(node, "left"), self._needed(node, "right")
        lefts, rights = ([one for one in self._children[side] if self._kind[one] != ","] for side in (left, right))
        return (lefts, rights) if lefts and len(lefts) == len(rights) else ([left], [right])

    def _pairs(self, lefts: Sequence[int], rights: Sequence[int], states: States) -> States:
        """Python: all values of a side flow into each name in one edge."""
        states = self._all(rights, states)
        for left, right in zip(lefts, rights, strict=True):
            values = self._variables(right)
            names, tokens = tuple(text for _, text in values), tuple(token for token, _ in values)
            made = self._variables(left)
            self._spend(len(made) * len(values))
            self._edges.extend(_Edge(token, text, "computedFrom", names, tokens) for token, text in made)
            states = self._with(states, made)
        return states

    def _increase(self, node: int, states: States) -> States:
        names = self._variables(node)
        return self._flow(names, names, "computedFrom", states)

    def _branches(self, node: int, states: States) -> States:
        ends: list[States] = []
        here, behind, has_else = states, False, False
        for child in self._children[node]:
            kind = self._kind[child]
            has_else = has_else or "else" in kind
            # In Python each branch begins with the states before the condition, elsewhere all that follows an `else`.
            behind = kind in _BRANCHES if self._python else behind or kind in self._rules.branch
            if behind:
                ends.append(self._visit(child, states))
            else:
                here = self._visit(child, here)
        self._spend(sum(map(len, ends)))
        return _either([*ends, here, *([] if has_else and not self._rules.keeps else [states])])

    # -- loops

    def _loop(self, node: int, states: States) -> States:
        """What a loop's two rounds find, each flow once."""
        begin, kind = len(self._edges), self._kind[node]
        if kind == self._rules.each:
            states = self._for_each(node, states)
        elif kind == self._rules.loop:
            states = self._for_python(node, states) if self._python else self._for(node, states)
        else:
            states = self._all(self._children[node] * 2, states)
        self._spend(len(self._edges) - begin)
        once: dict[tuple[str, int, str], _Edge] = {}
        for edge in self._edges[begin:]:
            key = edge.name, edge.token, edge.relation
            once[key] = _union(once[key], edge) if key in once else edge
        self._edges[begin:] = once.values()
        return states

    def _for_python(self, node: int, states: States) -> States:
        lefts, rights = self._sides(node)
        last = self._children[node][-1]
        for _ in range(2):
            states = self._pairs(lefts, rights, states)
            if self._kind[last] == "block":
                states = self._visit(last, states)
        return states

    def _for(self, node: int, states: States) -> States:
        children = self._children[node]
        states = self._all(children, states)
        heads = [place for place, child in enumerate(children) if self._kind[child] == self._rules.loop_head]
        return self._all(children[heads[0] + 1 :], states) if heads else states

    def _for_each(self, node: int, states: States) -> States:
        name, value = (self._needed(node, field) for field in self._rules.each_fields)
        for _ in range(2):
            states = self._visit(value, states)
            states = self._flow(self._variables(name), self._variables(value), "computedFrom", states)
            states = self._visit(self._needed(node, "body"), states)
        return states
