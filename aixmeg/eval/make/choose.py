"""Which candidates become tasks: a quota for each language and shape, spread over repositories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aixmeg.errors import UserError
from aixmeg.eval.make.candidates import SHAPES, Candidate
from aixmeg.languages import LANGUAGES


@dataclass(frozen=True)
class Quotas:
    """Most tasks of each (language, shape)."""

    usual: int
    named: Mapping[str, int]
    """By `language/shape`, `shape` or `language`; the first of these that is named wins."""

    @classmethod
    def of(cls, usual: int, given: Sequence[str]) -> Quotas:
        """Read `NAME=N` options.

        Raises:
            UserError: a number below 0, or a name that is neither a language nor a shape.
        """
        named: dict[str, int] = {}
        wrong = [f"--per-shape {usual} must be at least 0"] if usual < 0 else []
        for text in given:
            name, _, number = text.rpartition("=")
            parts = name.split("/")
            known = name in LANGUAGES or (parts[-1] in SHAPES and (len(parts) == 1 or parts[0] in LANGUAGES))
            if len(parts) > 2 or not known or not number.isascii() or not number.isdigit():
                wrong.append(
                    f"--quota {text} must be NAME=N with a language, a shape ({', '.join(SHAPES)}) or LANGUAGE/SHAPE, "
                    "such as python/method_body=100"
                )
            else:
                named[name] = int(number)
        if wrong:
            raise UserError("; ".join(wrong))
        return cls(usual, named)

    def __call__(self, language: str, shape: str) -> int:
        """How many tasks are asked for."""
        return next(
            (self.named[name] for name in (f"{language}/{shape}", shape, language) if name in self.named), self.usual
        )


def choose(candidates: Sequence[Candidate], quotas: Quotas, *, seed: int) -> list[Candidate]:
    """The tasks, sorted by language, shape and name.

    A repository gives its second task of a shape only when each other one has given its first, so that a large one does
    not stand for all. What is taken of one (language, shape) does not depend on the others.
    """
    parts: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        parts.setdefault((one.document.language, one.shape), []).append(one)
    taken = []
    for (language, shape), part in sorted(parts.items()):
        drawn = sorted(part, key=lambda one, shape=shape: (one.draws(seed).uniform(f"take {shape}"), one.name))
        turns: Counter[str] = Counter()
        order = []
        for place, one in enumerate(drawn):
            order.append((turns[one.document.repository], place, one))
            turns[one.document.repository] += 1
        first = [one for _, _, one in sorted(order, key=lambda entry: entry[:2])[: quotas(language, shape)]]
        taken.extend(sorted(first, key=lambda one: one.name))
    return taken
