"""The pieces that sections are made of: tiles, facts, notes, tables with bars, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aixmeg.report.markup import Child, Html, join, tag
from aixmeg.report.svg import bar


@dataclass(frozen=True)
class Row:
    """A line of a table with bars."""

    label: Child
    share: float
    """Length of the bar, 0..1."""
    cells: Sequence[str]
    style: str = ""


def section(name: str, title: str, *content: Child, lede: str = "") -> Html:
    """A part of the page that the navigation can jump to."""
    heading = tag("h2", title, id=f"{name}-title")
    return tag("section", heading, tag("p", lede, class_="lede") if lede else None, *content, id=name,
               aria_labelledby=f"{name}-title")  # fmt: skip


def tile(label: str, value: str, note: str = "", *, style: str = "") -> Html:
    """One headline number."""
    return tag(
        "div", tag("dt", label), tag("dd", value, class_="value"), tag("dd", note, class_="note") if note else None,
        class_=f"tile {style}".strip(),
    )  # fmt: skip


def tiles(content: Sequence[Html]) -> Html:
    """Headline numbers side by side."""
    return tag("dl", *content, class_="tiles") if content else Html("")


def facts(pairs: Sequence[tuple[str, Child]]) -> Html:
    """Names and values in columns."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def note(text: Child, *, warning: bool = False) -> Html:
    """A remark; a warning is marked by more than its colour."""
    mark = tag("strong", "Note: ") if warning else None
    return tag("p", mark, text, class_="remark warning" if warning else "remark")


def figure(title: str, *content: Child, caption: str = "") -> Html:
    """A card with a heading."""
    legend = tag("figcaption", caption) if caption else None
    return tag("figure", tag("h3", title), *content, legend, class_="card")


def bar_table(headings: Sequence[str], rows: Sequence[Row], *, caption: str) -> Html:
    """A table whose second column is a bar; `headings` names the label and the cells."""
    first, *others = headings
    head = tag(
        "tr", tag("th", first, scope="col"), tag("td", class_="bar-cell"),
        *(tag("th", name, scope="col", class_="number") for name in others),
    )  # fmt: skip
    body = [
        tag(
            "tr", tag("th", row.label, scope="row"), tag("td", bar(row.share, row.style), class_="bar-cell"),
            *(tag("td", cell, class_="number") for cell in row.cells),
        )
        for row in rows
    ]  # fmt: skip
    return tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body), class_="bars")


def table(headings: Sequence[str], rows: Sequence[Sequence[Child]], *, caption: str) -> Html:
    """A plain table; every column but the first holds numbers."""
    kinds = ["", *["number"] * (len(headings) - 1)]
    head = [tag("th", name, scope="col", class_=kind or None) for name, kind in zip(headings, kinds, strict=True)]
    body = [
        tag("tr", *(tag("td", cell, class_=kind or None) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    ]  # fmt: skip
    filled = tag("table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", filled, class_="scroll", tabindex="0", role="group", aria_label=caption)


def details(summary: str, *content: Child) -> Html:
    """Content that opens on demand, without script."""
    return tag("details", tag("summary", summary), join(*content))
