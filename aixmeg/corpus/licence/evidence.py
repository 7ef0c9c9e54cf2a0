"""What one file says about licences: its own, or that of the folder it stands in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from aixmeg.corpus.licence.comment import leading_comment
from aixmeg.corpus.licence.expression import Expression, Licence, NoExpressionError, joined, parse
from aixmeg.corpus.licence.files import is_licence_text, is_package_metadata, named, package_licence
from aixmeg.corpus.licence.notices import bsd_clauses, notice, plain_words, words_of
from aixmeg.corpus.licence.table import UNRECOGNISED
from aixmeg.corpus.licence.texts import matches

Kind = Literal["spdx", "header", "text", "package", "source"]
"""SPDX tag, notice in the first comment, licence text, package metadata, what the source of the document says."""

HEAD_BYTES: Final = 6144
"""Of a source file: where notices are looked for."""
TEXT_BYTES: Final = 131_072
"""Of a licence text."""
_HINTS: Final = (
    b"spdx-", b"licen", b"gpl", b"public domain", b"redistribut", b"permission", b"propriet", b"confidential",
)  # fmt: skip
_TAG: Final = re.compile(rb"SPDX-License-Identifier:[ \t]*([^\r\n]{1,400})", re.IGNORECASE)
_AFTER_TAG: Final = re.compile(r"\s*(?:\*/|-->|\*\)|--\}|#\}|\"|').*$")
_NOT_FULL: Final = 16
"""Words of a text that is less than a licence: an empty file, or only a link."""

_ALIKE: Final = frozenset(
    {"BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "ISC", "0BSD", "MIT", "MIT-0", "NCSA"}
)
"""Whose texts resemble each other too much for fingerprints."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one file says. `to_json` is a list of strings."""

    kind: Kind
    expression: str
    """SPDX expression; `LicenseRef-unrecognised` for a licence text that is none of the known ones."""
    source: str = ""
    """Expression that the source of the document gives for it, as The Stack's columns do, beside the file's own."""

    @property
    def of_folder(self) -> bool:
        """Whether it speaks for the folder and not only for the file."""
        return self.kind in ("text", "package")

    def to_json(self) -> list[str]:
        """Plain values for `from_json`."""
        return [self.kind, self.expression, *([self.source] if self.source else [])]

    @classmethod
    def from_json(cls, values: list[Any]) -> Evidence:
        """The evidence that `to_json` gave."""
        return cls(*values)


def file_evidence(path: str, content: bytes, metadata: Mapping[str, Any] | None = None) -> Evidence | None:
    """What a file says about licences; None if nothing.

    Args:
        path: path inside the repository.
        content: its bytes, in any encoding that is ASCII for ASCII.
        metadata: what the source knows of the document; `licences` is a list of names, all of which hold.
    """
    given = _given(metadata)
    if is_licence_text(path):
        found = text_licence(content)
        return Evidence("text", str(found or UNRECOGNISED), given)
    if is_package_metadata(path) and (declared := package_licence(path, content)) is not None:
        return Evidence("package", str(declared), given)
    own = own_licence(content)
    if own is not None:
        return Evidence(own[0], str(own[1]), given)
    return Evidence("source", given) if given else None


def text_licence(content: bytes) -> Expression | None:
    """The licences in the text of a licence file: by the whole texts of known ones, else by what the words say."""
    content = content[:TEXT_BYTES]
    found = [one.id for one in matches(content)]
    if found:
        plain = plain_words(content[: TEXT_BYTES // 4]) if not _ALIKE.isdisjoint(found) else ""
        names = [_told_apart(one, plain, alone=len(found) == 1) for one in found]
        return joined("AND", [Licence(one) for one in names if one])
    words = words_of(content[: TEXT_BYTES // 4])
    if words.count(" ") < _NOT_FULL:
        try:
            return parse(content.decode("utf-8", "replace").strip()) if words else None
        except NoExpressionError:
            pass
    return notice(words[:20_000])


def own_licence(content: bytes) -> tuple[Kind, Expression] | None:
    """The licence that the first comment of a file gives it: by SPDX tag, else by notice."""
    head = content[:HEAD_BYTES]
    lower = head.lower()
    if not any(hint in lower for hint in _HINTS):
        return None
    if b"spdx-" in lower and (tags := _tags(head)) is not None:
        return "spdx", tags
    comment = leading_comment(head)
    lower = comment.lower()
    if not any(hint in lower for hint in _HINTS):
        return None
    said = notice(words_of(comment))
    return None if said is None else ("header", said)


def _tags(head: bytes) -> Expression | None:
    """All tags together. One behind a quote is a string of a program that writes tags."""
    found = []
    for hit in _TAG.finditer(head):
        before = head[head.rfind(b"\n", 0, hit.start()) + 1 : hit.start()]
        if b'"' not in before and b"'" not in before and (one := _tag(hit[1])) is not None:
            found.append(one)
    return joined("AND", found)


def _tag(text: bytes) -> Expression | None:
    written = _AFTER_TAG.sub("", text.decode("utf-8", "replace")).strip()
    try:
        return parse(written)
    except NoExpressionError:
        first = re.match(r"[\w.+-]+", written)
        return Licence(first[0]) if first and first[0].upper() != "NONE" else None


def _told_apart(name: str, words: str, *, alone: bool) -> str:
    """The licence among those that are alike, by the words that tell it."""
    if name in ("BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause"):
        return bsd_clauses(words)
    if name in ("ISC", "0BSD"):
        return "ISC" if "copyright notice and this permission notice appear" in words else "0BSD"
    if name in ("MIT", "MIT-0"):
        return "MIT" if "permission notice" in words else "MIT-0"
    if name == "NCSA" and not alone and "illinois" not in words:
        return ""  # its text is made of MIT's and BSD's, which stand there by themselves
    return name


def _given(metadata: Mapping[str, Any] | None) -> str:
    names = metadata.get("licences") if metadata else None
    found = [one for name in names or () if isinstance(name, str) and (one := named(name)) is not None]
    return str(joined("AND", found) or "")
