"""What was dropped: the funnel twice, by bytes and by files, a table by step and reason, examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aixmeg.report import numbers
from aixmeg.report.blocks import details, figure, note, section
from aixmeg.report.corpus import skipped, words
from aixmeg.report.corpus_page.funnel import Stage, funnel_drawing
from aixmeg.report.corpus_page.lists import paths
from aixmeg.report.load import Tree, at, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Html, join, tag
from aixmeg.report.svg import bar

STEPS: Final = {
    "sources": "reading",
    "text": "encoding",
    "prose": "prose",
    "generated": "generated and data",
    "licence": "licence",
    "rank": "ranking",
    "exact": "exact duplicates",
    "near": "near duplicates",
    "budget": "repository budget",
    "reread": "second reading",
    "scrub": "secrets",
    "syntax": "syntax",
    "commented": "commented-out code",
    "defects": "defects",
    "decontaminate": "evaluation sets",
}
"""Step → how the page calls it."""

Reason = tuple[str, float, float]
"""Name, files, bytes."""


def dropped(tree: Tree, reasons: Mapping[str, str]) -> Html:
    """The section."""
    steps = _steps(tree)
    if not steps:
        return section("dropped", "Funnel", note("No file was dropped."))
    cards = [_drawing(tree, "bytes", "By size", numbers.size), _drawing(tree, "files", "By files", numbers.short)]
    table = figure("By step and reason", _table(steps, reasons, figure_at(tree, "found", "files") or 0.0),
                   caption=skipped(tree))  # fmt: skip
    lede = "Every file that was found is kept or counted under one reason, in the order in which the steps meet it."
    return section("dropped", "Funnel", tag("div", *cards, class_="cards"), table, _examples(tree), lede=lede)


def _steps(tree: Tree) -> list[tuple[str, list[Reason]]]:
    found = at(tree, "funnel")
    steps = []
    for stage in found if isinstance(found, list) else []:
        listed = [(name, figure_at(one, "files") or 0.0, figure_at(one, "bytes") or 0.0)
                  for name, one in items(stage, "dropped")]  # fmt: skip
        if listed:
            steps.append((str(at(stage, "step")), listed))
    return steps


def _drawing(tree: Tree, key: str, title: str, unit: Callable[[float], str]) -> Html:
    found = figure_at(tree, "found", key)
    if not found or found < 0:
        return Html("")
    stages = []
    listed = at(tree, "funnel")
    for stage in listed if isinstance(listed, list) else []:
        gone = sum(figure_at(one, key) or 0.0 for _, one in items(stage, "dropped"))
        step = str(at(stage, "step"))
        stages.append(Stage(STEPS.get(step, words(step)), gone, figure_at(stage, "left", key) or 0.0))
    kept = stages[-1].left if stages else found
    spoken = f"Of {unit(found)} found {unit(kept)} are kept; the table below lists what each step dropped."
    return figure(title, funnel_drawing(found, stages, unit=unit, label=spoken))


def _table(steps: list[tuple[str, list[Reason]]], reasons: Mapping[str, str], found: float) -> Html:
    head = tag("tr", tag("th", "Reason", scope="col"), tag("td", class_="bar-cell"),
               *(tag("th", name, scope="col", class_="number") for name in ("Files", "Share", "Size")))  # fmt: skip
    most = max((files for _, listed in steps for _, files, _ in listed), default=0.0) or 1.0
    bodies = []
    for step, listed in steps:
        title = tag("tr", tag("th", STEPS.get(step, words(step)), scope="rowgroup", colspan=5), class_="group")
        rows = [_row(name, files, size, reasons.get(name), (files / most, found)) for name, files, size in listed]
        bodies.append(tag("tbody", title, *rows))
    caption = tag("caption", "Dropped files by step and reason; bars show files, share is of the files found")
    return tag("table", caption, tag("thead", head), *bodies, class_="bars reasons")


def _row(name: str, files: float, size: float, why: str | None, scale: tuple[float, float]) -> Html:
    share, found = scale
    label = join(words(name), tag("span", why, class_="why") if why else None)
    cells = [
        tag("td", numbers.count(files), class_="number", data_unit="files" if files != 1 else "file"),
        tag("td", numbers.share(files, found), class_="number"),
        tag("td", numbers.size(size), class_="number"),
    ]
    return tag("tr", tag("th", label, scope="row"), tag("td", bar(share, "drop"), class_="bar-cell"), *cells)


def _examples(tree: Tree) -> Html:
    found = [join(tag("h4", words(reason)), paths(listed)) for reason, listed in items(tree, "examples")
             if isinstance(listed, list) and listed]  # fmt: skip
    return details("Examples of dropped files, by reason", *found) if found else Html("")
