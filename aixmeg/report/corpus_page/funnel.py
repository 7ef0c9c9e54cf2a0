"""The funnel as a drawing: a trunk of what is left, from which each step's drops branch off.

As in `aixmeg.report.svg`, positions across are shares of whatever width there is, so that text keeps its size; lengths
down are pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aixmeg.report import numbers
from aixmeg.report.markup import Html, tag

_GRAIN = 10_000
"""Units of the stretched drawing from edge to edge."""
_TRUNK, _BRANCH = 4_600, 4_950
"""Width of all that was found; where branches end."""
_ROW = 50
"""Pixels from step to step."""
_THINNEST, _THICKEST = 2.0, 30.0
"""Pixels of a branch's end."""


@dataclass(frozen=True)
class Stage:
    """A step: what it dropped, and what was left behind it."""

    name: str
    dropped: float
    left: float


def funnel_drawing(
    found: float, stages: Sequence[Stage], *, unit: Callable[[float], str], label: str, last: str = "kept"
) -> Html:
    """The drawing.

    Args:
        found: what the sources hold; positive.
        stages: in order.
        unit: writes a value.
        label: a sentence for those who listen to the page.
        last: what is left behind all stages.
    """
    shapes, texts = [_trunk(0, 1.0)], [_label(0, "found", unit(found), x="52%")]
    width = 1.0
    for row, stage in enumerate(stages, 1):
        narrower = min(width, max(0.0, stage.left / found))
        shapes += [_branch(row, narrower, width, stage.dropped / found), _trunk(row, narrower)]
        value = f"−{unit(stage.dropped)} · {numbers.share(stage.dropped, found)}"
        texts.append(_label(row, stage.name, value, x="52%"))
        width = narrower
    row = len(stages) + 1
    left = stages[-1].left if stages else found
    shapes.append(_trunk(row, width))
    beside = f"{100 * (width * _TRUNK / _GRAIN + 0.03):.2f}%"
    texts.append(_label(row, last, f"{unit(left)} · {numbers.share(left, found)}", x=beside))
    height = (row + 1) * _ROW
    drawing = tag("svg", *shapes, viewBox=f"0 0 {_GRAIN} {height}", preserveAspectRatio="none",
                  width="100%", height="100%")  # fmt: skip
    return tag("svg", drawing, *texts, role="img", aria_label=label, width="100%", height=height, class_="funnel")


def _trunk(row: int, share: float) -> Html:
    # A pixel more than its row: the next one begins without a seam.
    return tag("rect", x=0, y=row * _ROW, width=max(1, round(share * _TRUNK)), height=_ROW + 1, class_="left")


def _branch(row: int, narrower: float, wider: float, share: float) -> Html:
    """From the part of the trunk that ends here to the label, tapering to a thickness in proportion."""
    inner, outer, top = round(narrower * _TRUNK), round(wider * _TRUNK), row * _ROW
    thick = min(_THICKEST, max(_THINNEST, share * 2 * _THICKEST))
    above, below = top + (_ROW - thick) / 2, top + (_ROW + thick) / 2
    bend = round((outer + _BRANCH) / 2)
    path = (
        f"M{inner} {top}L{outer} {top}C{outer} {above:g} {bend} {above:g} {_BRANCH} {above:g}"
        f"L{_BRANCH} {below:g}C{bend} {below:g} {inner} {below:g} {inner} {top}Z"
    )
    return tag("path", d=path, class_="gone")


def _label(row: int, name: str, value: str, *, x: str) -> Html:
    middle = row * _ROW + _ROW // 2
    return tag("g", tag("text", name, x=x, y=middle - 3, class_="stage"), tag("text", value, x=x, y=middle + 14))
