"""Several built datasets, mixed by weight."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

_LONGEST_TURN: Final = 1_000_000
"""Samples after which the order of datasets repeats; it is held in memory, at 6 bytes each."""


@dataclass(frozen=True, kw_only=True)
class BlendPart:
    """One dataset of a blend."""

    path: Path
    """What `aixmeg data build` wrote; relative to paths.root."""
    weight: float
    """Share of the samples, in proportion to the other weights; they need not add up to 1."""
    name: str | None = None
    """What metrics and checkpoints call it; null takes the last part of `path`."""

    @property
    def called(self) -> str:
        """Its name."""
        return self.path.name if self.name is None else self.name


def integer_shares(parts: Sequence[BlendPart]) -> tuple[int, ...]:
    """The smallest integers in the proportion of the weights, taken as the decimals that they are written as."""
    exact = [Fraction(repr(float(part.weight))) for part in parts]
    whole = [int(one * math.lcm(*(other.denominator for other in exact))) for one in exact]
    return tuple(one // math.gcd(*whole) for one in whole)


def blend_problems(parts: Sequence[BlendPart], *, order: str) -> Iterator[str]:
    """Sentences on broken rules of `train.blend`, where samples are read in `order`."""
    if not parts:
        return
    for part in parts:
        if not (part.weight > 0 and math.isfinite(part.weight)):
            yield f"train.blend: weight={part.weight} of {part.called!r} must be positive; leave it out instead"
        if re.fullmatch(r"[\w.+-]+", part.called) is None:
            yield (
                f"train.blend: {part.called!r} is no name of letters, digits, '.', '_', '+' and '-'; "
                f"set the `name` of {part.path}"
            )
    for what, seen in (("name", [part.called for part in parts]), ("path", [str(part.path) for part in parts])):
        twice = sorted({one for one in seen if seen.count(one) > 1})
        if twice:
            remedy = "give each a `name` of its own" if what == "name" else "add their weights up instead"
            yield f"train.blend: the {what} {', '.join(twice)} stands there twice; {remedy}"
    if all(part.weight > 0 and math.isfinite(part.weight) for part in parts):
        turn = sum(integer_shares(parts))
        if turn > _LONGEST_TURN:
            yield (
                f"train.blend: the weights {', '.join(f'{part.weight:g}' for part in parts)} are proportional to whole "
                f"numbers that add up to {turn:,}, more than {_LONGEST_TURN:,}; write them with fewer digits"
            )
    if order != "shuffle":
        yield (
            f"train.blend needs data.packing.order=shuffle, which is {order}: rows of a batch cannot go on in the next "
            "one where datasets take turns"
        )
