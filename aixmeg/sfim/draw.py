"""The draw of a middle: strategies by weight, each tried a bounded number of times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aixmeg.config.sfim import STRATEGIES, SfimConfig
from aixmeg.sfim import nodes, shapes
from aixmeg.sfim.nodes import Uniform
from aixmeg.sfim.view import NOWHERE, Span, View
from aixmeg.syntax import SyntaxTree

TRIES: Final = 8
"""Draws of one strategy before another one gets its turn."""

_DRAWS: Final[Mapping[str, Callable[[View, Uniform], Span | None]]] = MappingProxyType(
    {name: getattr(nodes, name, None) or getattr(shapes, name) for name in STRATEGIES}
)


@dataclass(frozen=True)
class Drawn:
    """A middle and the strategy that found it."""

    span: Span
    strategy: str


def draw_middle(
    tree: SyntaxTree,
    config: SfimConfig,
    *,
    max_middle_bytes: int,
    uniform: Uniform,
    accept: Callable[[int, int], bool] = lambda _start, _end: True,
) -> Drawn | None:
    """Draw a middle; None when no strategy finds one that fits.

    Args:
        tree: of the file, fresh or stored.
        config: strategies with their weights; the least tokens of a middle are its least bytes too, as a token is at
            least a byte.
        max_middle_bytes: longest middle.
        uniform: a number in [0, 1) for each purpose, the same for the same purpose.
        accept: the last word on a span's bytes [start, end): its size in tokens. Not asked about an empty one.
    """
    view = View(tree, min_bytes=max(1, config.min_middle_tokens), max_bytes=max_middle_bytes)
    weights = {name: weight for name, weight in config.strategies.items() if weight > 0}
    nodes_allowed = "whole_node" in weights
    while weights:
        name = _pick(weights, uniform(f"strategy {len(weights)}"))
        del weights[name]
        if span := _try(view, name, uniform, accept):
            return Drawn(span, name)
    if nodes_allowed:
        for attempt in range(TRIES):
            span = nodes.any_node(view, lambda purpose, n=attempt: uniform(f"any {purpose} {n}"))
            if span is None:
                break
            if view.fits(span.start, span.end) and accept(span.start, span.end):
                return Drawn(span, "whole_node")
    return None


def _pick(weights: Mapping[str, float], number: float) -> str:
    """A key with the probability of its share of the weights."""
    left, name = number * sum(weights.values()), ""
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return name


def _try(view: View, name: str, uniform: Uniform, accept: Callable[[int, int], bool]) -> Span | None:
    draw = _DRAWS[name]
    for attempt in range(TRIES):
        span = draw(view, lambda purpose, n=attempt: uniform(f"{name} {purpose} {n}"))
        if span is NOWHERE:
            return None
        if span is None:
            continue
        if name == "empty":
            if 0 < span.start < len(view.source) and not view.touches_error(span.start, span.start + 1):
                return span
        elif view.fits(span.start, span.end) and accept(span.start, span.end):
            return span
    return None
