"""The corpus's own page: what became of every file, from report.json alone.

The tree is read with distrust, as everything in `aixmeg.report`: what is missing or of another type is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aixmeg.report.corpus_page.changed import changed, defects
from aixmeg.report.corpus_page.chosen import duplicates, licences, ranking
from aixmeg.report.corpus_page.drops import dropped
from aixmeg.report.corpus_page.kept import kept
from aixmeg.report.corpus_page.overview import overview
from aixmeg.report.corpus_page.work import order, work
from aixmeg.report.load import Tree
from aixmeg.report.markup import Html

CONTENTS: Final = {
    "dropped": "Funnel",
    "kept": "Kept",
    "duplicates": "Duplicates",
    "licences": "Licences",
    "ranking": "Ranking",
    "changed": "Changed",
    "defects": "Defects",
    "order": "Order",
    "work": "Time",
}
"""Section → its name in the navigation."""


def corpus_sections(
    tree: Tree, *, reasons: Mapping[str, str] | None = None, rules: Mapping[str, tuple[str, str]] | None = None
) -> list[Html]:
    """The page's sections, in the order of `CONTENTS` behind an overview.

    Args:
        tree: report.json.
        reasons: reason of a drop → one sentence.
        rules: defect rule → bug or vulnerability, and one sentence.
    """
    return [
        overview(tree), dropped(tree, reasons or {}), kept(tree), duplicates(tree), licences(tree), ranking(tree),
        changed(tree), defects(tree, rules or {}), order(tree), work(tree),
    ]  # fmt: skip
