"""Charts as inline SVG, drawn in Python.

The outer <svg> has no viewBox: positions are percentages of whatever width the page gives it, so that text keeps its
size on a phone and on a wide screen. Only the curves sit in an inner <svg> that stretches; their strokes do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aixmeg.report.markup import Html, join, tag
from aixmeg.report.numbers import count, scientific
from aixmeg.report.scale import Axis, Values
from aixmeg.report.series import Series, thin

Written = Callable[[float], str]

_GRAIN = 10_000
"""Units of the inner <svg> from edge to edge."""
_LABEL_GAP = 15
"""Pixels between the baselines of two labels of reference lines."""
_MARKS = 50
"""Above so many points, dots would hide the line."""


@dataclass(frozen=True)
class Reference:
    """A horizontal dashed line at a value that does not depend on the step."""

    name: str
    style: str
    value: float


@dataclass(frozen=True)
class _Placed:
    """The points of a series that are drawn; u and v are 0..1 from the lower left, NaN where there is a gap."""

    series: Series
    x: Values
    y: Values
    u: Values
    v: Values

    @property
    def shown(self) -> np.ndarray:
        return np.isfinite(self.u) & np.isfinite(self.v)


def line_chart(
    series: Sequence[Series],
    *,
    x_axis: Axis,
    y_axis: Axis,
    label: str,
    unit: Written,
    tick: Written = scientific,
    references: Sequence[Reference] = (),
    height: int = 220,
) -> Html:
    """Curves over steps with grid, ticks and reference lines.

    Args:
        series: drawn in this order.
        x_axis: steps.
        y_axis: values.
        label: a sentence for those who listen to the page.
        unit: writes a measured value.
        tick: writes a round value of the y axis.
        references: horizontal lines.
        height: of the plot in pixels; the width is the page's.
    """
    thinned = [(one, *thin(one.x, one.y)) for one in series]
    # What is beyond every bound of an axis is drawn at its edge.
    placed = [_Placed(one, x, y, x_axis.place(x), np.clip(y_axis.place(y), 0, 1)) for one, x, y in thinned]
    curves = tag(
        "svg", *(_curve(one) for one in placed),
        viewBox=f"0 0 {_GRAIN} {_GRAIN}", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip
    picture = tag(
        "svg", _grid(x_axis, y_axis, tick), _reference_lines(references, y_axis, height, unit), curves,
        *(_marks(one) for one in placed), tag("text", "step", x="100%", y="100%", dy="34", text_anchor="end"),
        role="img", aria_label=label, width="100%", height=height,
    )  # fmt: skip
    hover = [_hover(one, unit) for one in placed if not one.series.faint]
    plot = tag("div", picture, class_="plot", data_series=json.dumps(hover, separators=(",", ":")))
    return tag("div", _legend(series), plot)


def _curve(placed: _Placed) -> Html:
    """One path; it starts anew after each gap."""
    shown = placed.shown
    starts = np.flatnonzero(shown & ~np.concatenate([[False], shown[:-1]]))
    stops = np.flatnonzero(shown & ~np.concatenate([shown[1:], [False]])) + 1
    a = np.round(np.nan_to_num(placed.u) * _GRAIN).astype(int).tolist()
    b = np.round((1 - np.nan_to_num(placed.v)) * _GRAIN).astype(int).tolist()
    parts = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        points = [f"{a[i]} {b[i]}" for i in range(start, stop)]
        # A line to where it starts is a dot, thanks to the round cap: a single point between two gaps is seen.
        parts.append("M" + "L".join(points * 2 if len(points) == 1 else points))
    return tag("path", d="".join(parts), class_=_line_class(placed.series)) if parts else Html("")


def _line_class(series: Series) -> str:
    return f"line {series.style}" + " faint" * series.faint


def _marks(placed: _Placed) -> Html:
    shown = placed.shown
    if not placed.series.marks or shown.sum() > _MARKS:
        return Html("")
    places = zip(placed.u[shown].tolist(), placed.v[shown].tolist(), strict=True)
    kind = f"mark {placed.series.style}"
    return join(*(tag("circle", cx=_percent(u), cy=_percent(1 - v), r="3.5", class_=kind) for u, v in places))


def _grid(x_axis: Axis, y_axis: Axis, written: Written) -> Html:
    parts = []
    for tick, v in zip(y_axis.ticks, y_axis.place(np.array(y_axis.ticks)).tolist(), strict=True):
        y = _percent(1 - v)
        parts.append(tag("line", x1="0", x2="100%", y1=y, y2=y, class_="grid"))
        parts.append(tag("text", written(tick), x="-8", y=y, dy="4", text_anchor="end"))
    for tick, u in zip(x_axis.ticks, x_axis.place(np.array(x_axis.ticks)).tolist(), strict=True):
        parts.append(tag("text", count(tick), x=_percent(u), y="100%", dy="18", text_anchor="middle"))
    return join(*parts)


def _reference_lines(references: Sequence[Reference], y_axis: Axis, height: int, unit: Written) -> Html:
    """Dashed lines with labels above them; labels of close lines are moved apart."""
    parts = []
    above = -np.inf
    for one in sorted(references, key=lambda reference: -reference.value):
        v = float(y_axis.place(np.array([one.value]))[0])
        if not 0 <= v <= 1:
            continue
        y, line = _percent(1 - v), (1 - v) * height
        # Where the label above is too close, this one goes below its own line.
        baseline = line - 6 if line - 6 - above >= _LABEL_GAP else max(line + 14, above + _LABEL_GAP)
        above = baseline
        text = f"{one.name} {unit(one.value)}"
        parts.append(tag("line", x1="0", x2="100%", y1=y, y2=y, class_=f"reference {one.style}"))
        parts.append(tag("text", text, x="100%", y=f"{baseline:.1f}", text_anchor="end", class_="reference-label"))
    return join(*parts)


def _legend(series: Sequence[Series]) -> Html:
    """Names beside samples of the strokes; a single curve has its name in the heading, a reference line on itself."""
    entries = [(one.name, _line_class(one), f"mark {one.style}" if one.marks else "") for one in series]
    if len(entries) < 2:
        return Html("")
    samples = []
    for name, line, dot in entries:
        stroke = tag("line", x1="1", x2="25", y1="6", y2="6", class_=line)
        mark = tag("circle", cx="13", cy="6", r="3.5", class_=dot) if dot else None
        samples.append(tag("li", tag("svg", stroke, mark, width="26", height="12", aria_hidden="true"), name))
    return tag("ul", *samples, class_="legend")


def _hover(placed: _Placed, unit: Written) -> object:
    """What the tooltip needs: positions in thousandths and the written values."""
    columns = (column[placed.shown].tolist() for column in (placed.u, placed.x, placed.y))
    rows = [[round(1000 * u), count(x), unit(y)] for u, x, y in zip(*columns, strict=True)]
    return {"name": placed.series.name, "rows": rows}


def bar(share: float, style: str = "") -> Html:
    """A horizontal bar of `share` (0..1) of the available width; the number stands beside it, in the table."""
    width = _percent(min(max(share, 0.01), 1.0) if share > 0 else 0.0)  # a little is not nothing
    return tag(
        "svg", tag("rect", x="0", y="0", width=width, height="100%", rx="2", class_=f"bar {style}".strip()),
        width="100%", height="10", aria_hidden="true", class_="bar-track",
    )  # fmt: skip


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + "%"
