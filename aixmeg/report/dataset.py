"""The tokenizer and the training examples: by objective, form, language and kind of node."""

from __future__ import annotations

from collections.abc import Mapping

from aixmeg.report import middles, numbers
from aixmeg.report.blocks import Row, bar_table, facts, figure, note, section
from aixmeg.report.corpus import words
from aixmeg.report.load import Run, Tree, at, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, tag

_LISTED = 12
_NAMES = {"ntp": "NTP", "fim": "FIM", "sfim": "SFIM", "psm": "PSM", "spm": "SPM", "none": "whole file"}
_MEANINGS = {
    "by_objective": "NTP: the next token, over a whole file. FIM: a random span is the middle. SFIM: a complete node "
    "of the syntax tree is the middle.",
    "by_mode": "PSM: prefix, suffix, middle. SPM: suffix, prefix, middle.",
}


def tokenizer(run: Run) -> Html:
    """What the tokenizer was trained on, and how well it compresses."""
    tree = run.tokenizer.tree
    if run.tokenizer.missing:
        return section("tokenizer", "Tokenizer", note(run.tokenizer.missing))
    unseen = "held-out " if at(tree, "held_out") is True else ""
    pairs: list[tuple[str, Child]] = [
        ("Pieces", numbers.count(figure_at(tree, "vocab_size"))),
        ("Trained on", numbers.size(figure_at(tree, "training_bytes"))),
        ("Training files", numbers.count(figure_at(tree, "training_files"))),
        ("Bytes per token", numbers.decimal(figure_at(tree, "bytes_per_token"), 2)),
        (f"Checked on {unseen}files", numbers.count(figure_at(tree, "files_checked"))),
        ("Time", numbers.duration(figure_at(tree, "seconds"))),
    ]
    languages = [(name, figure_at(one, "bytes_per_token")) for name, one in items(tree, "by_language")]
    known = sorted(((name, value) for name, value in languages if value), key=lambda one: (-one[1], one[0]))[:_LISTED]
    rows = [Row(name, value / known[0][1], [numbers.decimal(value, 2)]) for name, value in known]
    cards = [figure("Training and check", facts(pairs), caption="Checked: every file comes back byte for byte, and "
                    "Hugging Face's tokenizer gives the same ids.")]  # fmt: skip
    if rows:
        title = f"Bytes per token on {unseen}files"
        cards.append(figure(title, bar_table(["Language", "Bytes per token"], rows, caption=title)))
    return section("tokenizer", "Tokenizer", tag("div", *cards, class_="cards"))


def dataset(run: Run) -> Html:
    """Examples of the training split, with the size of the held-out one."""
    if run.data.missing:
        return section("dataset", "Dataset", note(run.data.missing))
    train, valid = _totals(run.data.tree, "train"), _totals(run.data.tree, "valid")
    cards = [
        _shares(train, "by_objective", "By objective", "Objective"),
        _shares(train, "by_mode", "By form", "Form"),
        _shares(train, "by_language", "By language", "Language"),
        middles.strategies(train),
        _nodes(train),
        middles.lengths(train),
        middles.without_tree(train),
        middles.packing(run.data.tree),
    ]
    return section("dataset", "Dataset", tag("div", *cards, class_="cards"), lede=_lede(train, valid))


def _totals(tree: Tree, split: str) -> Tree:
    """The counts of one split."""
    found = at(tree, split)
    return found if isinstance(found, Mapping) else {}


def _lede(train: Tree, valid: Tree) -> str:
    def size(tree: Tree) -> str:
        files, tokens = figure_at(tree, "files"), figure_at(tree, "tokens")
        return f"{numbers.plural(files, 'example')} with {numbers.short(tokens)} tokens"

    text = f"For training {size(train)}, one example per file; "
    text += f"held out {size(valid)}, from other repositories." if valid else "nothing is held out."
    middle = figure_at(train, "middle_tokens")
    return text + (f" {numbers.share(middle, figure_at(train, 'tokens'))} of the training tokens are middles."
                   if middle else "")  # fmt: skip


def _shares(tree: Tree, key: str, title: str, heading: str) -> Html:
    counts = [
        (_NAMES.get(name, name), figure_at(one, "files") or 0.0, figure_at(one, "tokens") or 0.0)
        for name, one in items(tree, key)
    ]
    if not counts:
        return Html("")
    counts = sorted(counts, key=lambda one: (-one[1], one[0]))[:_LISTED]
    total, largest = sum(one[1] for one in counts), max(one[1] for one in counts)
    rows = [
        Row(name, files / (largest or 1), [numbers.count(files), numbers.short(tokens), numbers.share(files, total)])
        for name, files, tokens in counts
    ]
    table = bar_table([heading, "Examples", "Tokens", "Share"], rows, caption=f"Training examples {title.lower()}")
    return figure(title, table, caption=_MEANINGS.get(key, ""))


def _nodes(tree: Tree) -> Html:
    counts = [(words(name), value) for name, value in _numbers(tree, "by_node")]
    if not counts:
        return Html("")
    total = sum(value for _, value in counts)
    shown = sorted(counts, key=lambda one: (-one[1], one[0]))[:_LISTED]
    rows = [
        Row(name, value / shown[0][1], [numbers.count(value), numbers.share(value, total)]) for name, value in shown
    ]
    left = len(counts) - len(shown)
    table = bar_table(["Node", "Examples", "Share"], rows, caption="Syntax nodes used as middles")
    caption = f"{numbers.plural(left, 'rarer kind')} not shown." if left else ""
    return figure("Middles, by syntax node", table, caption=caption)


def _numbers(tree: Tree, key: str) -> list[tuple[str, float]]:
    found = [(name, figure_at({"value": value}, "value")) for name, value in items(tree, key)]
    return [(name, value) for name, value in found if value]
