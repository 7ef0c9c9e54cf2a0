"""Training: losses against the unigram baseline, learning rate, gradient norm, speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from aixmeg.report import numbers
from aixmeg.report.blocks import details, figure, note, section, table
from aixmeg.report.infill_curves import infill_curves
from aixmeg.report.load import Metrics, Run
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, tag
from aixmeg.report.scale import Axis, Values, linear_axis, log_axis, step_axis
from aixmeg.report.series import Series, moving_mean, spoken
from aixmeg.report.svg import Reference, line_chart

_SMOOTH_FROM = 60
"""Points from which the train loss is drawn as a moving mean over the raw curve."""
_LISTED = 40


@dataclass(frozen=True)
class _Small:
    """A chart of one column."""

    column: str
    title: str
    caption: str
    unit: Callable[[float], str] = numbers.scientific
    log: bool = False
    noisy: bool = True


_SMALL = (
    _Small("lr", "Learning rate", "Linear warmup, then cosine decay.", noisy=False),
    _Small("grad_norm", "Gradient norm", "Global norm before clipping, on a log scale.", log=True),
    _Small(
        "tokens_per_second", "Tokens per second", "All ranks together; the first steps warm up.", unit=numbers.short
    ),
    _Small("mfu_causal", "MFU", "Share of the peak, attention counted below the diagonal.", unit=numbers.percent),
    _Small("goodput", "Goodput", "Share of the time since the first start that went into steps that count.",
           unit=numbers.percent, noisy=False),
    _Small("memory_peak", "Memory", "Peak of the rank that holds most.", unit=numbers.size, noisy=False),
    _Small("seconds_data", "Data", "Seconds that the host waited for micro-batches, since the record before."),
    _Small("seconds_communication", "Communication", "Seconds that gradients of other ranks were waited for."),
    _Small("norm_attention", "Norm of attention's weights", "Over all layers.", noisy=False),
    _Small("norm_mlp", "Norm of the feed-forward weights", "Over all layers.", noisy=False),
)  # fmt: skip


def training(run: Run) -> Html:
    """The section with every curve."""
    metrics = run.metrics.content
    if not isinstance(metrics, Metrics):
        return section("training", "Training", note(run.metrics.missing))
    train, valid = metrics.train, metrics.valid
    remarks = [note(text, warning=True) for text in _warnings(metrics)]
    if not len(train["step"]) and not len(valid["step"]):
        return section("training", "Training", *remarks, note("No step has been logged yet."))
    x_axis = step_axis(np.concatenate([train["step"], valid["step"]]))
    charts = [_small_chart(chart, train, x_axis) for chart in _SMALL if np.isfinite(train[chart.column]).any()]
    small = tag("div", *charts, class_="cards three")
    completed = infill_curves(metrics, x_axis)
    return section(
        "training", "Training", *remarks, _losses(run, metrics, x_axis), completed, small, _valid_table(valid)
    )


def _warnings(metrics: Metrics) -> list[str]:
    found = []
    for name, words in (("loss", "The train loss"), ("grad_norm", "The gradient norm")):
        bad = metrics.train["step"][~np.isfinite(metrics.train[name])]
        if len(bad):
            steps = ", ".join(numbers.count(s) for s in bad[:5].tolist()) + (" and later" if len(bad) > 5 else "")
            found.append(f"{words} is not a finite number at {numbers.plural(len(bad), 'step')} ({steps}); "
                         "the curves have gaps there.")  # fmt: skip
    if metrics.unreadable:
        found.append(f"{numbers.plural(metrics.unreadable, 'line')} of metrics.jsonl cannot be read and left out.")
    if metrics.cut:
        found.append("The last line of metrics.jsonl is incomplete: the run was killed, or is still writing.")
    return found


def _losses(run: Run, metrics: Metrics, x_axis: Axis) -> Html:
    train, valid = metrics.train, metrics.valid
    series = _smoothed("train: ", "train", train["step"], train["loss"])
    for column, name, style in (("ntp_loss", "held-out NTP", "ntp"), ("middle_loss", "held-out middles", "middle")):
        shown = np.isfinite(valid[column])
        if shown.any():
            series.append(Series(name, style, valid["step"][shown], valid[column][shown], marks=True))
    references = []
    for key, name, style in (("ntp", "unigram, NTP", "ntp"), ("middle", "unigram, middles", "middle")):
        value = figure_at(run.facts.tree, "unigram", key)
        if value is not None:
            references.append(Reference(name, style, value))
    values = np.concatenate([*(s.y for s in series), [r.value for r in references]])
    caption = "Cross-entropy in nats per token; lower is better. "
    if references:
        caption += ("Dashed: what a model scores that knows only how often each token occurs (unigram), on the same "
                    "held-out tokens. ")  # fmt: skip
    caption += "NTP: the text of next-token examples. Middles: what infilling examples ask for, with the closing </s>."
    chart = line_chart(
        series, x_axis=x_axis, y_axis=linear_axis(values, parts=6), references=references, unit=numbers.decimal,
        label=spoken("Loss", series), height=340,
    )  # fmt: skip
    return figure("Loss", chart, caption=caption)


def _smoothed(prefix: str, style: str, step: Values, values: Values) -> list[Series]:
    """The curve itself while it is short, later a moving mean in front of it."""
    if len(step) < _SMOOTH_FROM:
        return [Series(f"{prefix}each record", style, step, values)] if len(step) else []
    window = max(10, len(step) // 50)
    mean = Series(f"{prefix}mean of {numbers.count(window)}", style, step, moving_mean(values, window))
    return [Series(f"{prefix}each record", style, step, values, faint=True), mean]


def _small_chart(chart: _Small, train: Mapping[str, Values], x_axis: Axis) -> Html:
    values = train[chart.column]
    series = [Series(chart.title, "other", train["step"], values)]
    if chart.noisy:
        series = _smoothed("", "other", train["step"], values)
    drawn = line_chart(
        series, x_axis=x_axis, y_axis=log_axis(values) if chart.log else linear_axis(values, zero=True),
        unit=chart.unit, tick=chart.unit, label=spoken(chart.title, series),
    )  # fmt: skip
    return figure(chart.title, drawn, caption=chart.caption)


def _valid_table(valid: Mapping[str, Values]) -> Html:
    total = len(valid["step"])
    if not total:
        return Html("")
    # Evenly spread, with the first and the last.
    chosen = np.unique(np.linspace(0, total - 1, min(total, _LISTED)).round().astype(np.int64))
    columns = (valid[name][chosen].tolist() for name in ("step", "ntp_loss", "middle_loss"))
    rows: list[list[Child]] = [
        [numbers.count(step), numbers.decimal(_known(text)), numbers.decimal(_known(middle))]
        for step, text, middle in zip(*columns, strict=True)
    ]
    count = numbers.plural(total, "validation") + (f", {len(rows)} of them shown" if total > len(rows) else "")
    caption = "Held-out loss in nats per token"
    return details(f"Held-out losses as a table ({count})", table(["Step", "NTP", "Middles"], rows, caption=caption))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
