"""Removes what nobody reads: badges, HTML comments, tables of contents, lines of links alone. Code blocks stay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

_FENCE: Final = re.compile(r"\s{0,3}(?:>\s*)?(`{3,}|~{3,})")
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_IMAGE: Final = r"!\[[^\]\n]*\](?:\([^)\n]*\)|\[[^\]\n]*\])"
_BADGE: Final = rf"\[\s*{_IMAGE}\s*\](?:\([^)\n]*\)|\[[^\]\n]*\])|{_IMAGE}|\|[\w .-]+\|_?"
_BADGES: Final = re.compile(rf"\s*(?:[-*+]\s+)?(?:(?:{_BADGE})[\s|·•]*)+")
_TAGS: Final = re.compile(r"\s*(?:</?[a-zA-Z][^<>\n]{0,400}>\s*)+(?:&nbsp;\s*)*")
_ANCHOR_ITEM: Final = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+\[[^\]\n]+\]\(#[^)\n]*\)\s*")
_CONTENTS: Final = re.compile(
    r"\s*(?:#{1,6}\s*)?(?:\*\*)?(?:table of )?contents?:?(?:\*\*)?\s*#*|\s*\[\[?_?toc_?\]?\]\s*", re.IGNORECASE
)
_LINK: Final = r"(?:\[[^\]\n]+\](?:\([^)\n]*\)|\[[^\]\n]*\])|<https?://[^>\s]+>|https?://\S+|`[^`\n]+ <[^>\n]+>`__?)"
_LINKS: Final = re.compile(rf"\s*(?:[-*+]|\d+[.)])?\s*(?:{_LINK}[\s,|·•/-]*)+\.?\s*")
_DIRECTIVE: Final = re.compile(
    r"\.\. (?:\|[^|\n]+\| )?(?:image|figure|contents|toctree|raw|meta|highlight)::.*|\.\. _[^:\n]+:.*"
)
"""Of reStructuredText; the indented lines below belong to it."""
_HINT: Final = re.compile(r"[\[<|]|://|contents", re.IGNORECASE)
"""Of clutter, in a line: most have none."""
_BLANKS: Final = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


def blocks(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, each with whether it is a fenced code block (fences included); joined they are the text."""
    if "```" not in text and "~~~" not in text:
        yield False, text
        return
    piece: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if fence:
            piece.append(line)
            if found and found[1].startswith(fence) and not line.strip(" \t>`~\r\n"):
                yield True, "".join(piece)
                piece, fence = [], ""
        elif found:
            yield False, "".join(piece)
            piece, fence = [line], found[1]
        else:
            piece.append(line)
    yield bool(fence), "".join(piece)


def cleaned(text: str, counts: Counter[str] | None = None) -> str:
    """The text without the clutter; counts what was removed: `prose.badges`, `prose.comments`, `prose.contents`,
    `prose.links`, `prose.tags` (lines, or comments).
    """
    found: Counter[str] = Counter()
    pieces = [piece if code else _without_clutter(piece, found) for code, piece in blocks(text)]
    if not found:
        return text
    if counts is not None:
        counts.update(found)
    return "".join(pieces).lstrip("\n")


def _without_clutter(text: str, counts: Counter[str]) -> str:
    text, comments = _COMMENT.subn("", text)
    if comments:
        counts["prose.comments"] += comments
    kept: list[str] = []
    directive = False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if directive and (not bare or line[0] in " \t"):
            counts["prose.contents"] += bool(bare)
            continue
        directive = bool(_DIRECTIVE.match(line))
        name = "prose.contents" if directive else _clutter(line) if _HINT.search(line) else ""
        if name:
            counts[name] += 1
        else:
            kept.append(line)
    return _BLANKS.sub("\n\n", "".join(kept))


def _clutter(line: str) -> str:
    """What a line that is only clutter is counted as; "" for lines to keep."""
    if _BADGES.fullmatch(line):
        return "prose.badges"
    if _ANCHOR_ITEM.fullmatch(line) or _CONTENTS.fullmatch(line):
        return "prose.contents"
    if _TAGS.fullmatch(line):
        return "prose.tags"
    return "prose.links" if _LINKS.fullmatch(line) else ""
