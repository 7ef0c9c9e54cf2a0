"""Held-out middles completed while training: how often exactly and how closely, over the steps, by language."""

from __future__ import annotations

from typing import Final

import numpy as np

from aixmeg.report import numbers
from aixmeg.report.blocks import details, figure, table
from aixmeg.report.load import Metrics
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, join, tag
from aixmeg.report.scale import Axis, Values, linear_axis
from aixmeg.report.series import Series, spoken
from aixmeg.report.svg import line_chart

_SCORES: Final = (
    ("infill_exact_match", "Infills: exact match",
     "Share of the held-out middles that the model writes token for token, and ends where they end."),
    ("infill_edit_similarity", "Infills: edit similarity",
     "Mean of 2 · longest common subsequence / both lengths, of tokens."),
)  # fmt: skip
_DRAWN: Final = 6
"""Languages that have a curve: as many as there are colours."""


def infill_curves(metrics: Metrics, x_axis: Axis) -> Html:
    """A chart of each score with a curve for all middles and one per language, and a table; nothing without scores.

    Args:
        metrics: of the run.
        x_axis: steps, as of the other charts.
    """
    valid = metrics.valid
    if not any(np.isfinite(valid[score]).any() for score, _, _ in _SCORES):
        return Html("")
    languages = _languages(metrics)
    charts = []
    for score, title, words in _SCORES:
        series = [_series("all", "whole", valid["step"], valid[score])]
        for number, name in enumerate(languages[:_DRAWN]):
            values = np.array([_value(record, name, score) for record in metrics.languages])
            series.append(_series(name, f"part{number}", valid["step"], values))
        drawn = line_chart(
            series, x_axis=x_axis, y_axis=linear_axis(np.array([0.0, 1.0]), zero=True), unit=numbers.percent,
            tick=numbers.percent, label=spoken(title, series),
        )  # fmt: skip
        charts.append(figure(title, drawn, caption=words))
    return join(tag("div", *charts, class_="cards two"), _table(metrics, languages))


def _languages(metrics: Metrics) -> list[str]:
    """Those that ever had a middle, most middles first."""
    most: dict[str, float] = {}
    for record in metrics.languages:
        for name in record:
            middles = figure_at(record, name, "infills")
            if middles:
                most[name] = max(middles, most.get(name, 0.0))
    return sorted(most, key=lambda name: (-most[name], name))


def _value(record: object, name: str, score: str) -> float:
    value = figure_at(record, name, score)
    return np.nan if value is None else value


def _series(name: str, style: str, step: Values, values: Values) -> Series:
    shown = np.isfinite(values)
    return Series(name, style, step[shown], values[shown], marks=True)


def _table(metrics: Metrics, languages: list[str]) -> Html:
    """The newest scores; also of languages that have no curve."""
    last = int(np.flatnonzero(np.isfinite(metrics.valid["infill_edit_similarity"]))[-1])
    record = metrics.languages[last]
    named = ("infills", *(score for score, _, _ in _SCORES))
    every = [("all", [float(metrics.valid[name][last]) for name in named])]
    every += [(name, [_value(record, name, column) for column in named]) for name in languages]
    rows: list[list[Child]] = [
        [name, numbers.count(middles), *(numbers.percent(value) for value in scores)]
        for name, (middles, *scores) in every
    ]
    step = numbers.count(float(metrics.valid["step"][last]))
    left = len(languages) - _DRAWN
    caption = "Held-out middles completed while training" + (
        f"; the charts show the {_DRAWN} languages with most middles" if left > 0 else ""
    )
    head = ["Language", "Middles", "Exact match", "Edit similarity"]
    return details(f"Infills at step {step} by language, as a table", table(head, rows, caption=caption))
