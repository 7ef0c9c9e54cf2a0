"""SPDX licence expressions: parsing, writing, and what a policy makes of them.

Grammar: SPDX specification 2.3, annex D: ids joined by AND, OR (which binds weaker) and WITH, and parentheses. Read
leniently, as people write them: any case, `/` for OR as in Cargo.toml, names for ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from aixmeg.corpus.licence.table import CLASSES, LINKING_EXCEPTIONS, UNRECOGNISED, Class, class_of, spdx_id

_TOKEN: Final = re.compile(r"\s*(\(|\)|[^\s()]+)")
_DEEPEST: Final = 50
"""Parentheses inside each other that are read; more is not an expression that anybody wrote."""


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence, perhaps with an exception."""

    id: str
    exception: str = ""

    @property
    def kind(self) -> Class:
        """Its class: a linking exception makes the GPL a weak copyleft."""
        kind = class_of(self.id)
        return "weak_copyleft" if kind == "copyleft" and self.exception.lower() in LINKING_EXCEPTIONS else kind

    def __str__(self) -> str:
        return f"{self.id} WITH {self.exception}" if self.exception else self.id


@dataclass(frozen=True, slots=True)
class Joined:
    """Several expressions, all of which hold (AND) or of which one may be chosen (OR)."""

    operator: str
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        texts = (f"({one})" if isinstance(one, Joined) else str(one) for one in self.parts)
        return f" {self.operator} ".join(texts)


Expression = Licence | Joined


class NoExpressionError(ValueError):
    """The text is no SPDX expression."""


def parse(text: str) -> Expression:
    """Read an expression. Ids that the table does not know stay as they are, and are of class unknown.

    Raises:
        NoExpressionError: it is none.
    """
    if whole := spdx_id(text):
        if " " not in whole:
            return Licence(whole)
        text = whole
    tokens = _TOKEN.findall(text.replace("/", " OR ") if " WITH " not in text.upper() else text)
    reader = _Reader(tokens)
    expression = reader.alternatives(0)
    if reader.at != len(tokens):
        raise NoExpressionError(text)
    return expression


def joined(operator: str, parts: Iterator[Expression] | list[Expression]) -> Expression | None:
    """The parts under one operator: flat, each once, in order; None if there are none."""
    flat: dict[Expression, None] = {}
    for one in parts:
        inner = one.parts if isinstance(one, Joined) and one.operator == operator else (one,)
        flat.update(dict.fromkeys(inner))
    if len(flat) > 1:
        return Joined(operator, tuple(flat))
    return next(iter(flat), None)


def licences(expression: Expression) -> Iterator[Licence]:
    """The licences that it names."""
    if isinstance(expression, Licence):
        yield expression
    else:
        for one in expression.parts:
            yield from licences(one)


def judge(expression: Expression, allowed: Callable[[Licence], bool]) -> tuple[bool, Class]:
    """Whether the policy allows it, and the class that decides: of the alternative taken, or of what stands in the way.

    OR takes the first alternative that is allowed, else the least restrictive one. AND needs all of its parts.
    """
    if isinstance(expression, Licence):
        return allowed(expression), expression.kind
    verdicts = [judge(one, allowed) for one in expression.parts]
    if expression.operator == "OR":
        return next((one for one in verdicts if one[0]), min(verdicts, key=_rank))
    refused = [one for one in verdicts if not one[0]]
    return max(refused or verdicts, key=_rank)


def _rank(verdict: tuple[bool, Class]) -> int:
    return CLASSES.index(verdict[1])


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def _next(self) -> str:
        return self.tokens[self.at].upper() if self.at < len(self.tokens) else ""

    def alternatives(self, depth: int) -> Expression:
        parts = [self.together(depth)]
        while self._next() == "OR":
            self.at += 1
            parts.append(self.together(depth))
        return joined("OR", parts) or parts[0]

    def together(self, depth: int) -> Expression:
        parts = [self.one(depth)]
        while self._next() == "AND":
            self.at += 1
            parts.append(self.one(depth))
        return joined("AND", parts) or parts[0]

    def one(self, depth: int) -> Expression:
        word = self._next()
        if word == "(":
            if depth == _DEEPEST:
                raise NoExpressionError("too many parentheses")
            self.at += 1
            inner = self.alternatives(depth + 1)
            if self._next() != ")":
                raise NoExpressionError("a parenthesis is not closed")
            self.at += 1
            return inner
        if word in ("", ")", "AND", "OR", "WITH"):
            raise NoExpressionError(f"a licence is missing at {word or 'the end'}")
        name = self.tokens[self.at]
        self.at += 1
        exception = ""
        if self._next() == "WITH":
            if self.at + 1 == len(self.tokens):
                raise NoExpressionError("WITH needs an exception")
            exception = self.tokens[self.at + 1]
            self.at += 2
        return _licence(name, exception)


def _licence(name: str, exception: str) -> Expression:
    found = spdx_id(name) or (name if re.fullmatch(r"[A-Za-z0-9.+:-]{1,80}", name) else UNRECOGNISED)
    return parse(found) if " " in found else Licence(found, exception)
