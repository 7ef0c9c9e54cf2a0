"""How files and repositories were chosen: duplicates, licences, ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, details, facts, figure, note, section
from aixmeg.report.corpus import words
from aixmeg.report.corpus_page.lists import paths, shown, top_table
from aixmeg.report.load import Tree, at, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, tag

Pairs = list[tuple[str, Child]]

_COPIES: Final = {
    "exact_duplicate": "Equal files",
    "near_duplicate": "Nearly equal files",
    "repository_duplicate": "Files of repositories that are alike",
}
_BANDS: Final = (
    "Signatures of word 5-grams (MinHash) meet in bands; pairs that meet are verified by the whole signature. Recall: "
    "share of the pairs at or above the threshold that the bands find."
)
_EVIDENCE: Final = {
    "spdx": "SPDX tag",
    "header": "notice in the file",
    "text": "licence text",
    "package": "package metadata",
    "source": "column of the source",
    "none": "nothing",
}


def duplicates(tree: Tree) -> Html:
    """Equal and similar files, and repositories that are alike."""
    found = at(tree, "duplicates")
    copies: Pairs = []
    for name, title in _COPIES.items():
        files, size = figure_at(tree, "dropped", name, "files") or 0.0, figure_at(tree, "dropped", name, "bytes")
        copies.append((title, f"{numbers.plural(files, 'file')}, {numbers.size(size or 0.0)}"))
    for key, title in (("repositories", "Repositories dropped whole"), ("clusters", "Groups of near duplicates"),
                       ("largest_cluster", "Files in the largest group"), ("texts", "Texts found more than once"),
                       ("most_copies", "Most copies of one text")):  # fmt: skip
        if (value := figure_at(found, key)) is not None:
            copies.append((title, numbers.count(value)))
    cards = [figure("Dropped", facts(copies)), _bands(found), _alike(found)]
    lede = "Of files that are equal or nearly so, the copy in the best ranked repository is kept."
    return section("duplicates", "Duplicates", tag("div", *cards, class_="cards"), lede=lede)


def _bands(found: object) -> Html:
    threshold = figure_at(found, "threshold")
    if threshold is None:
        return figure("Near duplicates", note("They were not looked for (corpus.near.enabled)."))
    size = [numbers.count(figure_at(found, key)) for key in ("bands", "rows")]
    pairs: Pairs = [
        ("Threshold (Jaccard)", numbers.decimal(threshold, 2)),
        ("Values of a signature", numbers.count(figure_at(found, "permutations"))),
        ("Standard error of an estimate", numbers.decimal(figure_at(found, "standard_error"))),
        ("Bands × rows", " × ".join(size)),
        ("Recall, on average", numbers.share(figure_at(found, "recall"), 1.0)),
        ("Recall just at the threshold", numbers.share(figure_at(found, "recall_at_threshold"), 1.0)),
        ("Files compared", numbers.count(figure_at(found, "documents"))),
        ("Pairs that met, pairs verified",
         f"{numbers.count(figure_at(found, 'candidate_pairs'))}, {numbers.count(figure_at(found, 'verified_pairs'))}"),
    ]  # fmt: skip
    return figure("How near duplicates were found", facts(pairs), caption=_BANDS)


def _alike(found: object) -> Html:
    listed = at(found, "repository_pairs")
    pairs = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    if not pairs:
        return Html("")
    rows = [Row(tag("span", shown(at(one, "dropped")), tag("span", f"like {shown(at(one, 'kept'))}", class_="why")),
                figure_at(one, "share") or 0.0, [numbers.share(figure_at(one, "share"), 1.0)])
            for one in pairs]  # fmt: skip
    table = top_table(["Dropped", "Alike"], rows, caption="Repositories dropped as copies of others", most=10)
    return figure("Repositories that are alike", table, caption="Alike: share of bytes in files that match.")


def licences(tree: Tree) -> Html:
    """What was found before anything was dropped for its licence."""
    found = at(tree, "licences")
    if not items(found, "classes"):
        return section("licences", "Licences", note("Licences were not looked for (corpus.licence.enabled)."))
    cards = [
        _licence_table(found, "classes", "By class", "Class", words),
        _licence_table(found, "evidence", "By what says so", "Evidence", lambda name: _EVIDENCE.get(name, words(name))),
        _licence_table(found, "expressions", "By licence", "SPDX expression", shown),
    ]
    lede = "Of the files that reached this step; a file's own notice comes before that of its folder and repository."
    return section("licences", "Licences", tag("div", *cards, class_="cards"), _conflicts(found), lede=lede)


def _licence_table(found: object, key: str, title: str, heading: str, written: Callable[[str], str]) -> Html:
    counts = [(name, figure_at(one, "files") or 0.0, figure_at(one, "bytes") or 0.0) for name, one in items(found, key)]
    counts.sort(key=lambda one: (-one[2], one[0]))
    if not counts:
        return Html("")
    rows = [Row(written(name), size / (counts[0][2] or 1), [numbers.count(files), numbers.size(size)])
            for name, files, size in counts if files]  # fmt: skip
    return figure(title, top_table([heading, "Files", "Size"], rows, caption=f"Files {title.lower()}", most=12))


def _conflicts(found: object) -> Html:
    number, listed = figure_at(found, "conflicts", "files"), at(found, "conflicts", "examples")
    if not number or not isinstance(listed, list):
        return Html("")
    return details(f"Contradictions in {numbers.plural(number, 'file')}", paths(listed))


def ranking(tree: Tree) -> Html:
    """By what repositories were ranked, and what was missing."""
    found = at(tree, "rank")
    count = figure_at(found, "repositories")
    if count is None:
        return section("ranking", "Ranking", note("Repositories were not ranked."))
    used, left_out = (at(found, key) for key in ("signals", "left_out"))
    pairs: Pairs = [
        ("Repositories ranked", numbers.count(count)),
        ("Dropped as the lowest", numbers.count(figure_at(found, "dropped"))),
        ("Lowest score kept (0 to 1)", numbers.decimal(figure_at(found, "lowest_kept"))),
        ("Signals used", _listed(used)),
        ("Signals that no repository has", _listed(left_out)),
        *((f"Without {words(shown(name))}", numbers.count(figure_at({"n": value}, "n")))
          for name, value in items(found, "without")),
        ("Without any signal (score 0.5)", numbers.count(figure_at(found, "without_any"))),
    ]  # fmt: skip
    remark = at(found, "note")
    caption = "The score is the mean of the percentile ranks of a repository's signals."
    card = figure("Score", facts(pairs), caption=caption)
    return section("ranking", "Ranking", note(shown(remark), warning=True) if remark else None, card)


def _listed(names: object) -> str:
    return ", ".join(words(shown(name)) for name in names) if isinstance(names, list) and names else "none"
