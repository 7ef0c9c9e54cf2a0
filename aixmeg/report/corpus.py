"""The corpus: kept files by language, dropped files by reason."""

from __future__ import annotations

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, bar_table, details, figure, note, section
from aixmeg.report.load import Run, Tree, at, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Html, join, tag

_LANGUAGES = 16
_EXAMPLES = 5
_SOURCES = 200


def corpus(run: Run) -> Html:
    """The section."""
    tree = run.corpus.tree
    if run.corpus.missing:
        return section("corpus", "Corpus", note(run.corpus.missing))
    cards = tag("div", _by_language(tree), _by_reason(tree), class_="cards")
    return section("corpus", "Corpus", cards, sources(tree), lede=_lede(tree))


def _lede(tree: Tree) -> str:
    kept, found = figure_at(tree, "kept", "files"), figure_at(tree, "found", "files")
    if kept is None:
        return ""
    text = f"{numbers.plural(kept, 'file')} kept"
    if found:
        text = f"{numbers.count(kept)} of {numbers.plural(found, 'file')} kept ({numbers.share(kept, found)})"
    size, repositories = figure_at(tree, "kept", "bytes"), figure_at(tree, "repositories")
    text += f": {numbers.size(size)}" if size is not None else ""
    text += f" in {numbers.plural(repositories, 'repository')}" if repositories is not None else ""
    seconds = figure_at(tree, "seconds")
    return text + (f", built in {numbers.duration(seconds)}." if seconds is not None else ".")


def _by_language(tree: Tree) -> Html:
    counts = [
        (name, figure_at(one, "files") or 0.0, figure_at(one, "bytes") or 0.0)
        for name, one in items(tree, "by_language")
    ]
    if not counts:
        return figure("Kept, by language", note("No file was kept."))
    counts.sort(key=lambda one: (-one[2], one[0]))
    if len(counts) > _LANGUAGES:
        rest = counts[_LANGUAGES - 1 :]
        others = (f"{len(rest)} others", sum(one[1] for one in rest), sum(one[2] for one in rest))
        counts = [*counts[: _LANGUAGES - 1], others]
    total, largest = sum(one[2] for one in counts), max(one[2] for one in counts)
    rows = [
        Row(name, size / (largest or 1), [numbers.count(files), numbers.size(size), numbers.share(size, total)])
        for name, files, size in counts
    ]
    headings = ["Language", "Files", "Size", "Share"]
    return figure("Kept, by language", bar_table(headings, rows, caption="Kept files by language; bars show size"))


def _by_reason(tree: Tree) -> Html:
    counts = [
        (words(name), figure_at(one, "files") or 0.0, figure_at(one, "bytes")) for name, one in items(tree, "dropped")
    ]
    counts = sorted((one for one in counts if one[1] > 0), key=lambda one: (-one[1], one[0]))
    if not counts:
        return figure("Dropped, by reason", note("No file was dropped."))
    rows = [
        Row(reason, files / counts[0][1], [numbers.count(files), numbers.size(size)], style="drop")
        for reason, files, size in counts
    ]
    table = bar_table(["Reason", "Files", "Size"], rows, caption="Dropped files by reason; bars show files")
    return figure("Dropped, by reason", table, _dropped_examples(tree), caption=skipped(tree))


def skipped(tree: Tree) -> str:
    """The folders that were not entered, as a sentence."""
    folders = [(words(name), figure_at({"n": number}, "n")) for name, number in items(tree, "found", "skipped_folders")]
    counts = [f"{name} {numbers.count(number)}" for name, number in folders if number]
    return f"Folders not entered: {', '.join(counts)}." if counts else ""


def _dropped_examples(tree: Tree) -> Html:
    found = []
    for reason, paths in items(tree, "examples"):
        if isinstance(paths, list) and paths:
            listed = [tag("li", tag("code", str(path))) for path in paths[:_EXAMPLES]]
            found.append(join(tag("h4", words(reason)), tag("ul", *listed, class_="paths")))
    return details("Examples of dropped files", *found) if found else Html("")


def sources(tree: Tree) -> Html:
    """What was read."""
    read = at(tree, "sources")
    if not isinstance(read, list) or not read:
        return Html("")
    listed = [tag("li", tag("code", str(source))) for source in read[:_SOURCES]]
    left = len(read) - len(listed)
    rest = tag("li", f"and {numbers.count(left)} more") if left else None
    return details(f"Read from {numbers.plural(len(read), 'source')}", tag("ul", *listed, rest, class_="paths"))


def words(name: str) -> str:
    """`too_large` → `too large`."""
    return name.replace("_", " ")
