"""HTML that cannot be injected into: text is escaped unless its type says that it is already markup.

File names, code and model output come from strangers. `tag` escapes every child and attribute that is not `Html`, and
shows control and direction-changing characters instead of obeying them ("Trojan source", CVE-2021-42574).
"""

from __future__ import annotations

import html
import re


class Html(str):
    """Text that is already markup; any other string is escaped where it is put in."""

    __slots__ = ()


Child = str | int | None

_VOID = {"meta"}
# Control characters (tab and newline apart), directional marks and overrides, isolates, line separators that editors
# do not show, lone surrogates (which UTF-8 cannot hold) and the byte-order mark.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def visible(text: str) -> str:
    """The text with hidden characters written out, NUL as `[U+0000]`; CRLF reads as a newline."""
    return _HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text.replace("\r\n", "\n"))


def escape(text: Child) -> Html:
    """Markup that shows `text` literally; `Html` passes unchanged, None is nothing."""
    if isinstance(text, Html):
        return text
    return Html("" if text is None else html.escape(visible(str(text))))


def join(*parts: Child) -> Html:
    """The parts one after another, each escaped unless it is markup."""
    return Html("".join(map(escape, parts)))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """One element. `class_` and `data_points` become `class` and `data-points`; None and False leave one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape("" if value is True else str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(*children)}</{name}>")
