"""What is kept: languages, sizes of files and of repositories, sources."""

from __future__ import annotations

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, figure, note, section
from aixmeg.report.corpus import sources
from aixmeg.report.corpus_page.lists import shown, top_table
from aixmeg.report.histogram import histogram, power_of_two
from aixmeg.report.load import Tree, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Html, tag


def kept(tree: Tree) -> Html:
    """The section."""
    cards = [
        _languages(tree),
        _sizes(tree, "sizes", "Size of files", "file"),
        _sizes(tree, "repository_sizes", "Size of repositories", "repository"),
    ]
    text, raw = figure_at(tree, "kept", "text_bytes"), figure_at(tree, "kept", "bytes")
    shorter = (raw or 0.0) - (text or 0.0) if text else 0.0
    lede = f"Cleaning took {numbers.size(shorter)} out of these files." if shorter > 0 else ""
    return section("kept", "Kept", tag("div", *cards, class_="cards"), sources(tree), lede=lede)


def _languages(tree: Tree) -> Html:
    counts = [(name, figure_at(one, "files") or 0.0, figure_at(one, "bytes") or 0.0)
              for name, one in items(tree, "by_language")]  # fmt: skip
    counts.sort(key=lambda one: (-one[2], one[0]))
    if not counts:
        return figure("Languages", note("No file was kept."))
    total = sum(size for _, _, size in counts)
    rows = [Row(shown(name), size / (counts[0][2] or 1),
                [numbers.count(files), numbers.size(size), numbers.share(size, total)])
            for name, files, size in counts]  # fmt: skip
    table = top_table(["Language", "Files", "Size", "Share"], rows, caption="Kept files by language; bars show size")
    return figure("Languages", table)


def _sizes(tree: Tree, key: str, title: str, noun: str) -> Html:
    counts = {}
    for name, value in items(tree, key):
        number = figure_at({"n": value}, "n")
        if name.isascii() and name.isdigit() and len(name) < 20 and number and number > 0:
            exponent = max(int(name) - 1, 0).bit_length()
            counts[exponent] = counts.get(exponent, 0.0) + number
    if not counts:
        return Html("")
    exponents = range(min(counts), max(counts) + 1)
    values = [counts.get(exponent, 0.0) for exponent in exponents]
    most = exponents[values.index(max(values))]
    spoken = f"{title}: most, {numbers.plural(max(values), noun)}, have up to {power_of_two(most)}."
    chart = histogram(exponents[0], values, noun=noun, label=spoken)
    return figure(title, chart, caption="Each column holds what is larger than half of its right edge.")
