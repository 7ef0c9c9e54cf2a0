"""Columns over powers of two, as inline SVG; see `aixmeg.report.svg` for how it fits any width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aixmeg.report import numbers
from aixmeg.report.markup import Html, tag
from aixmeg.report.scale import linear_axis

_HEIGHT = 150
_LABELS = 6
"""Most labels below the columns: a phone has room for so many."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def power_of_two(exponent: int) -> str:
    """12 → `4 KiB`."""
    unit, rest = divmod(exponent, 10)
    return f"{1 << rest}{numbers.NBSP}{_UNITS[min(unit, len(_UNITS) - 1)]}"


def histogram(first: int, values: Sequence[float], *, noun: str, label: str) -> Html:
    """Columns of counts by size.

    Args:
        first: exponent of the first column's right edge.
        values: a count per column, each for sizes twice those of the column before it; at least one is positive.
        noun: what is counted, in the singular.
        label: a sentence for those who listen to the page.
    """
    axis = linear_axis(np.array(values), zero=True, parts=3)
    parts = []
    for tick in axis.ticks:
        y = f"{100 * (1 - tick / axis.high):.2f}%"
        parts.append(tag("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(tag("text", numbers.short(tick), x="-8", y=y, dy="4", text_anchor="end"))
    width = 100 / len(values)
    every = -(-len(values) // _LABELS)
    for place, value in enumerate(values):
        share = value / axis.high
        above = "" if place == 0 and first == 0 else f"above {power_of_two(first + place - 1)}, "
        title = f"{above}up to {power_of_two(first + place)}: {numbers.plural(value, noun)}"
        parts.append(tag(
            "rect", tag("title", title), x=f"{place * width + 0.06 * width:.3f}%", width=f"{0.88 * width:.3f}%",
            y=f"{100 * (1 - share):.3f}%", height=f"{100 * share:.3f}%", class_="bar",
        ))  # fmt: skip
        if (place + 1) % every == 0:
            edge = (place + 1) * width
            anchor = "end" if edge > 100 - width / 2 else "middle"
            parts.append(tag("text", power_of_two(first + place), x=f"{edge:.3f}%", y="100%", dy="18",
                             text_anchor=anchor))  # fmt: skip
    drawing = tag("svg", *parts, role="img", aria_label=label, width="100%", height=_HEIGHT)
    return tag("div", drawing, class_="histogram")
