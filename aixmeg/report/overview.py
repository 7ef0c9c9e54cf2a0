"""The head of the page: one sentence that says how the run went, and its headline numbers."""

from __future__ import annotations

import numpy as np

from aixmeg.report import numbers
from aixmeg.report.blocks import section, tile, tiles
from aixmeg.report.load import Metrics, Run, figure
from aixmeg.report.markup import Html
from aixmeg.report.scale import Values

_LAST = 20
"""Records over which the final train loss and the speed are taken."""


def sentence(run: Run) -> str:
    """The outcome in words, as far as the parts tell it."""
    metrics = run.metrics.content
    if not isinstance(metrics, Metrics) or not len(metrics.train["step"]):
        return "No training step has been logged yet."
    step = float(metrics.train["step"][-1])
    planned = figure(run.options, "train", "steps")
    tokens = last(metrics.train["tokens"])
    seen = f" and {numbers.short(tokens)} tokens" if tokens else ""
    begin = f"After {numbers.plural(step, 'step')}"
    if planned is not None and step < planned:
        begin = f"At step {numbers.count(step)} of {numbers.count(planned)}"
    loss, unigram = last(metrics.valid["ntp_loss"]), figure(run.facts.tree, "unigram", "ntp")
    if loss is None:
        train = last(metrics.train["loss"])
        return f"{begin}{seen}" + (f" the train loss is {numbers.decimal(train)}." if train is not None else ".")
    text = f"{begin}{seen} the held-out loss is {numbers.decimal(loss)} nats per token"
    return text + (f", where a unigram model of the same tokens scores {numbers.decimal(unigram)}." if unigram else ".")


def summary(run: Run) -> Html:
    """Headline numbers; what is unknown is left out."""
    found = [*_losses(run), *_progress(run), *_inputs(run)]
    return section("summary", "Summary", tiles(found)) if found else Html("")


def last(values: Values) -> float | None:
    """The last finite value."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None


def _losses(run: Run) -> list[Html]:
    metrics = run.metrics.content
    if not isinstance(metrics, Metrics):
        return []
    found = []
    for column, key, label in (
        ("ntp_loss", "ntp", "Held-out loss, NTP"),
        ("middle_loss", "middle", "Held-out loss, middles"),
    ):
        loss = last(metrics.valid[column])
        if loss is not None:
            found.append(tile(label, numbers.decimal(loss), _against(loss, figure(run.facts.tree, "unigram", key)),
                              style=key))  # fmt: skip
    recent = metrics.train["loss"][-_LAST:]
    recent = recent[np.isfinite(recent)]
    if len(recent):
        note = f"mean of the last {numbers.plural(len(recent), 'record')}" if len(recent) > 1 else "one record"
        found.append(tile("Train loss", numbers.decimal(float(recent.mean())), note))
    return found


def _against(loss: float, unigram: float | None) -> str:
    if unigram is None:
        return "nats per token"
    side = "lower" if loss < unigram else "higher"
    return f"{numbers.decimal(abs(unigram - loss))} {side} than unigram ({numbers.decimal(unigram)})"


def _progress(run: Run) -> list[Html]:
    metrics = run.metrics.content
    if not isinstance(metrics, Metrics) or not len(metrics.train["step"]):
        return []
    step, planned = float(metrics.train["step"][-1]), figure(run.options, "train", "steps")
    found = [tile("Steps", numbers.count(step), f"of {numbers.count(planned)} planned" if planned else "")]
    tokens = last(metrics.train["tokens"])
    if tokens:
        found.append(tile("Training tokens", numbers.short(tokens), _per_step(run)))
    speed = metrics.train["tokens_per_second"]
    speed = speed[np.isfinite(speed)]
    if len(speed):
        ranks = figure(run.facts.tree, "ranks")
        found.append(tile("Tokens per second", numbers.short(float(np.median(speed))),
                          "median" + (f", {numbers.plural(ranks, 'rank')}" if ranks else "")))  # fmt: skip
    seconds = metrics.train["seconds"]
    seconds = seconds[np.isfinite(seconds)]
    if len(seconds):
        found.append(tile("Training time", numbers.duration(float(seconds.sum())), "without validation and saving"))
    return found


def _per_step(run: Run) -> str:
    batch, length = figure(run.options, "train", "global_batch_size"), figure(run.options, "model", "seq_length")
    return f"{numbers.count(batch * length)} per step" if batch and length else ""


def _inputs(run: Run) -> list[Html]:
    files = figure(run.corpus.tree, "kept", "files")
    if files is None:
        return []
    size, repositories = figure(run.corpus.tree, "kept", "bytes"), figure(run.corpus.tree, "repositories")
    note = ", ".join(
        [numbers.size(size)] * (size is not None)
        + [numbers.plural(repositories, "repository")] * (repositories is not None)
    )
    return [tile("Source files", numbers.count(files), note)]
