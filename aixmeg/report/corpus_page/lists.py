"""Lists of what strangers wrote: paths and excerpts, cut where they are endless."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aixmeg.report import numbers
from aixmeg.report.blocks import Row, bar_table, details
from aixmeg.report.markup import Child, Html, join, tag

_LONGEST = 300
"""Characters of a name."""


def shown(value: object, most: int = _LONGEST) -> str:
    """A text without its middle where it is longer than `most` characters."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def paths(listed: Iterable[object]) -> Html:
    """File names."""
    return tag("ul", *(tag("li", tag("code", shown(one))) for one in listed), class_="paths")


def excerpt(text: object, about: Child) -> Html:
    """A list item: a piece of a file, and a line about it."""
    return tag("li", tag("code", shown(text, 600)), tag("span", about, class_="why"))


def top_table(headings: Sequence[str], rows: Sequence[Row], *, caption: str, most: int = 16) -> Html:
    """The first rows of a table with bars; the others open on demand."""
    first = bar_table(headings, rows[:most], caption=caption)
    if len(rows) <= most:
        return first
    others = bar_table(headings, rows[most:], caption=f"{caption}, continued")
    return join(first, details(f"{numbers.count(len(rows) - most)} more", others))
