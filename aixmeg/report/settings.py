"""How to get this run again: model, layout, versions, the whole configuration."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from aixmeg.report import numbers
from aixmeg.report.blocks import details, facts, figure, note, section
from aixmeg.report.load import Run, at, items, number
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, tag

Pairs = list[tuple[str, Child]]


def settings(run: Run) -> Html:
    """The section with options, versions and config.yaml."""
    cards = [figure("Model", facts(_model(run))), figure("Training", facts(_training(run))), _versions(run)]
    config = details("The whole configuration (config.yaml)", tag("pre", run.config_text, tabindex="0"))
    return section("settings", "Configuration and versions", tag("div", *cards, class_="cards three"), config)


def _model(run: Run) -> Pairs:
    names = (
        ("Layers", "num_layers"),
        ("Hidden size", "hidden_size"),
        ("Feed-forward size", "ffn_hidden_size"),
        ("Attention heads", "num_attention_heads"),
        ("Key-value heads", "num_query_groups"),
        ("Context (tokens)", "seq_length"),
        ("Vocabulary", "vocab_size"),
    )
    pairs: Pairs = [(label, numbers.count(figure_at(run.options, "model", key))) for label, key in names]
    parameters = figure_at(run.facts.tree, "parameters")
    return [("Parameters", numbers.short(parameters)), *pairs] if parameters else pairs


def _training(run: Run) -> Pairs:
    tree = run.options
    kinds = ("tensor_model_parallel_size", "pipeline_model_parallel_size")
    sizes = [numbers.count(figure_at(tree, "parallel", kind)) for kind in kinds]
    pairs: Pairs = [
        ("Ranks", numbers.count(figure_at(run.facts.tree, "ranks"))),
        ("Tensor × pipeline parallel", " × ".join(sizes)),
        ("Sequence parallel", _yes(at(tree, "parallel", "sequence_parallel"))),
        ("Samples per step", numbers.count(figure_at(tree, "train", "global_batch_size"))),
        ("Precision", _plain(at(tree, "train", "precision"))),
        ("Learning rate", f"{numbers.scientific(figure_at(tree, 'optimizer', 'lr'))} to "
                          f"{numbers.scientific(figure_at(tree, 'optimizer', 'min_lr'))}"),
        ("Warmup (steps)", numbers.count(figure_at(tree, "optimizer", "warmup_steps"))),
        ("Seed", _plain(at(tree, "train", "seed"))),
    ]  # fmt: skip
    started = at(run.facts.tree, "started")
    return [*pairs, ("Started", _moment(started))] if started else pairs


def _versions(run: Run) -> Html:
    pairs: Pairs = [(name, _plain(value)) for name, value in items(run.facts.tree, "versions")]
    tokenizer = at(run.facts.tree, "tokenizer_sha256")
    if isinstance(tokenizer, str):
        pairs.append(("tokenizer (SHA-256)", tag("code", tokenizer[:16])))
    missing = run.facts.missing or "run.json names no versions."
    return figure("Versions", facts(pairs) if pairs else note(missing))


def _moment(value: object) -> str:
    """An ISO time or seconds since 1970 as `2025-01-02 03:04 UTC`; anything else as it is."""
    try:
        seconds = number(value)
        moment = datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return _plain(value)
    return f"{moment:%Y-%m-%d %H:%M %Z}".strip()


def _yes(value: object) -> str:
    return "yes" if value is True else "no" if value is False else "–"


def _plain(value: object) -> str:
    return "–" if value is None or isinstance(value, dict | list) else str(value)
