"""What the steps changed in kept files, and what static analysis found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, bar_table, details, facts, figure, note, section
from aixmeg.report.corpus import words
from aixmeg.report.corpus_page.lists import excerpt, shown, top_table
from aixmeg.report.load import Tree, at, items
from aixmeg.report.load import figure as figure_at
from aixmeg.report.markup import Child, Html, tag

KINDS: Final = {
    "private_key": "private keys",
    "url_credentials": "credentials in URLs",
    "token": "tokens of services",
    "ssh_key": "public SSH keys",
    "password": "passwords",
    "email": "e-mail addresses",
    "name": "names of people",
    "ip": "IP addresses",
    "phone": "telephone numbers",
    "card": "card numbers",
}
"""Kind of `corpus.scrub.kinds` → how the page calls it."""
_COUNTS: Final = {
    "text.bom": "Files with a byte order mark",
    "text.bom_stripped": "Byte order marks removed",
    "text.crlf": "Files with CRLF",
    "text.lone_cr": "Files with a lone CR",
    "text.mixed_endings": "Files with mixed line endings",
    "text.endings_changed": "Files whose line endings were changed",
    "commented.blocks": "Blocks found",
    "commented.lines": "Lines in them",
    "commented.removed": "Blocks removed, by draw",
    "commented.removed_lines": "Lines removed",
    "commented.kept_to_parse": "Files left alone, since they would no longer parse",
    "decontaminate.items": "Solutions found",
}
_GROUPS: Final = {
    "commented": "Commented-out code",
    "text": "Encoding and line endings",
    "prose": "Prose",
    "decontaminate": "Evaluation sets",
}
_BLOCKS: Final = 8
"""Blocks of commented-out code shown."""


def changed(tree: Tree) -> Html:
    """Secrets, commented-out code, evaluation sets, encoding, and whatever else was counted."""
    counts = {name: value for name, value in _numbers(tree, "counts") if not name.startswith("defects.")}
    groups = dict.fromkeys([*_GROUPS, *(name.partition(".")[0] for name in counts)])
    extras = {"commented": _blocks(tree), "decontaminate": _matches(tree)}
    cards = [_scrubbed(tree, counts)]
    cards += [_group(name, counts, extras.get(name, Html(""))) for name in groups if name != "scrub"]
    if not any(cards):
        return section("changed", "Changed", note("Nothing was changed."))
    return section("changed", "Changed", tag("div", *cards, class_="cards"))


def _numbers(tree: Tree, *keys: str) -> list[tuple[str, float]]:
    found = [(name, figure_at({"n": value}, "n")) for name, value in items(tree, *keys)]
    return [(name, value) for name, value in found if value]


def _records(tree: Tree, kind: str) -> list[Mapping[str, object]]:
    listed = at(tree, "audit", kind)
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _scrubbed(tree: Tree, counts: Mapping[str, float]) -> Html:
    found = [(name.removeprefix("scrub."), value) for name, value in counts.items() if name.startswith("scrub.")]
    found.sort(key=lambda one: (-one[1], one[0]))
    if not found:
        return Html("")
    rows = [Row(_kind(name), value / found[0][1], [numbers.count(value)]) for name, value in found]
    table = bar_table(["Kind", "Places"], rows, caption="Places replaced, by kind")
    samples = [_sample(name, value, _records(tree, name)) for name, value in found]
    caption = "Samples are masked: a stands for a letter, 9 for a digit, * for another character."
    return figure("Secrets and personal data, replaced", table, *samples, caption=caption)


def _kind(name: str) -> str:
    return KINDS.get(name, words(shown(name)))


def _sample(kind: str, value: float, records: list[Mapping[str, object]]) -> Html:
    """For an audit by people: where, what stood there, what stands there now."""
    if not records:
        return Html("")
    listed = [
        excerpt(one.get("excerpt", ""),
                f"{shown(one.get('file'))}:{shown(one.get('line'), 20)} → {shown(one.get('replaced_by'), 120)}")
        for one in records
    ]  # fmt: skip
    title = f"Sample of {_kind(kind)}: {numbers.count(len(listed))} of {numbers.count(value)}"
    return details(title, tag("ul", *listed, class_="paths"))


def _group(group: str, counts: Mapping[str, float], extra: Html) -> Html:
    pairs: list[tuple[str, Child]] = [
        (_COUNTS.get(name) or words(shown(name.partition(".")[2] or name)).capitalize(), numbers.count(value))
        for name, value in counts.items() if name.partition(".")[0] == group
    ]  # fmt: skip
    if not pairs and not extra:
        return Html("")
    return figure(_GROUPS.get(group, words(shown(group)).capitalize()), facts(pairs) if pairs else None, extra)


def _blocks(tree: Tree) -> Html:
    listed = [
        tag("li", tag("pre", shown(one.get("text", ""), 600), tabindex="0"),
            tag("span", f"{'removed' if one.get('removed') is True else 'kept'}: {shown(one.get('file'))}",
                class_="why"))
        for one in _records(tree, "commented")[:_BLOCKS]
    ]  # fmt: skip
    return details("Sample of commented-out code", tag("ul", *listed, class_="paths")) if listed else Html("")


def _matches(tree: Tree) -> Html:
    """Files that hold solutions of evaluation sets."""
    gone = figure_at(tree, "dropped", "contaminated", "files")
    listed = [
        tag("li", tag("code", shown(one.get("file"))),
            tag("span", f"{shown(one.get('item'))}: {numbers.share(figure_at(one, 'share'), 1.0)} of it, "
                        f"{numbers.count(figure_at(one, 'run_words'))} words in a row", class_="why"))
        for one in _records(tree, "decontaminate")
    ]  # fmt: skip
    sample = details("Sample of the overlaps", tag("ul", *listed, class_="paths")) if listed else None
    if gone is None and sample is None:
        return Html("")
    return tag("div", note(f"{numbers.plural(gone or 0.0, 'file')} dropped for what they hold of them."), sample)


def defects(tree: Tree, rules: Mapping[str, tuple[str, str]]) -> Html:
    """Hits of static analysis by rule."""
    found = [(name.removeprefix("defects."), value) for name, value in _numbers(tree, "counts")
             if name.startswith("defects.")]  # fmt: skip
    found.sort(key=lambda one: (-one[1], one[0]))
    gone = {kind: figure_at(tree, "dropped", f"defect_{kind}", "files") or 0.0 for kind in ("bug", "vulnerability")}
    if not found and not any(gone.values()):
        return section("defects", "Defects", note("Static analysis found nothing, or was not asked (corpus.defects)."))
    rows = [Row(_rule(name, rules), value / found[0][1], [numbers.count(value)]) for name, value in found]
    table = top_table(["Rule", "Hits"], rows, caption="Hits in kept files by rule", most=20) if rows else None
    lede = (
        f"Dropped: {numbers.plural(gone['bug'], 'file')} for a bug, "
        f"{numbers.count(gone['vulnerability'])} for a vulnerability. The kept files are tagged with these hits."
    )
    return section("defects", "Defects", figure("By rule", table), lede=lede)


def _rule(name: str, rules: Mapping[str, tuple[str, str]]) -> Child:
    kind, text = rules.get(name, ("", ""))
    about = f"{kind}: {text}" if text else kind
    return tag("span", tag("code", shown(name)), tag("span", about, class_="why") if about else None)
