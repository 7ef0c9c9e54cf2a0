"""Rows of tables → documents: which column is which, with the names of The Stack and of other collections known."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from aixmeg.config.corpus import SourcesConfig
from aixmeg.corpus.prose import is_question, question_text
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.errors import UserError
from aixmeg.languages import language_named

KNOWN: Final = {
    "content": ("content", "text", "code"),
    "repository": ("max_stars_repo_name", "repo_name", "repository", "repository_name", "repo", "repo_id"),
    "path": ("max_stars_repo_path", "path", "file_path", "filepath", "file_name", "filename", "id"),
    "language": ("lang", "language", "programming_language", "programming-language"),
    "licence": ("max_stars_repo_licenses", "detected_licenses", "license", "licenses", "licence", "gha_license_id"),
    "stars": ("max_stars_count", "star_events_count", "stars", "stargazers_count", "stargazer_count"),
}
"""What a column holds → its names: The Stack v1 (max_stars_…), v2 (star_events_count …), and what others use."""
BROKEN: Final = frozenset({"invalid_json", "missing_column", "wrong_type"})
_ROWS_TO_JUDGE: Final = 20


@dataclass(frozen=True)
class Columns:
    """Names to look for, by what they hold; the first that is there is taken."""

    names: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, config: SourcesConfig) -> Columns:
        """A configured name stands alone; otherwise the known ones."""
        return cls({what: (getattr(config, f"{what}_column"),) if getattr(config, f"{what}_column") else names
                    for what, names in KNOWN.items()})  # fmt: skip

    def among(self, present: Collection[str]) -> dict[str, str]:
        """What → name, of the columns that are there."""
        return {what: found for what, names in self.names.items()
                if (found := next((name for name in names if name in present), None)) is not None}  # fmt: skip


class Rows:
    """Makes documents of one table's rows, and counts the broken ones."""

    def __init__(self, reading: Reading, *, table: str, fallback: str) -> None:
        self._reading, self._table, self._fallback = reading, table, fallback
        self._depth = reading.rules.reading.repository_depth
        self.prose = reading.rules.prose
        self._rows = self._broken = 0

    def document(self, row: dict[str, Any], content: Callable[[], bytes], size: int, where: str) -> RawDocument:
        """The document of a row: {what: value}, without the content, which is read only if the path lets it pass.

        `where` names the row if it has no path.
        """
        self._rows += 1
        try:
            repository, path, extra = self._place(row, where)
        except Dropped as drop:
            self._broken += drop.reason in BROKEN
            return self._reading.dropped(self._fallback, where, size, drop.reason)
        document = self._reading.document(repository, path, size, content, extra=extra)
        self._broken += document.reason in BROKEN
        return document

    def row(self, row: dict[str, Any], values: dict[str, Any], where: str, size: int = 0) -> RawDocument:
        """The document of a row whose `values` are all at hand, which may be a question with its answers; `size` is
        that of a row without text."""
        content = row.pop("content", None)
        try:
            if self.prose.enabled and is_question(values):
                content, row["language"] = question_text(values, self.prose), "markdown"
            text = as_bytes(content)
        except Dropped as drop:
            return self.broken(drop.reason, where, size)
        return self.document(row, lambda: text, len(text), where)

    def broken(self, reason: str, where: str, size: int) -> RawDocument:
        """A row that is none."""
        self._rows += 1
        self._broken += reason in BROKEN
        return self._reading.dropped(self._fallback, where, size, reason)

    def check(self) -> None:
        """At the end: raise if too many rows were broken, as they are when the columns have other names."""
        limit = self._reading.rules.reading.max_broken_share
        if self._reading.wanted is None and self._rows >= _ROWS_TO_JUDGE and self._broken > limit * self._rows:
            raise UserError(
                f"{self._broken} of {self._rows} rows of {self._table} are broken (invalid JSON, or a column that is "
                f"missing or of the wrong type), more than corpus.reading.max_broken_share={limit}; name the columns "
                "with corpus.reading.content_column, path_column …, or raise that share"
            )

    def _place(self, row: dict[str, Any], where: str) -> tuple[str, str, dict[str, Any]]:
        repository, path, extra = _text(row, "repository"), _text(row, "path"), _extra(row)
        if path is None:  # prose, and the like: the language tells what it is
            language = language_named(extra.get("language", ""))
            endings = (*language.extensions, *language.more_extensions) if language else ()
            path = where + next((one for one in endings if one.startswith(".")), "")
        path = path.removeprefix("./").lstrip("/")  # The Stack v2 writes paths with a leading slash
        if repository is None:
            folders = path.split("/")
            depth = self._depth if len(folders) > self._depth else 0
            repository = "/".join(folders[:depth]) or self._fallback
            path = "/".join(folders[depth:])
        if not _is_text(repository):
            raise Dropped("bad_name")
        return repository, path, extra


def as_bytes(value: Any) -> bytes:
    """The content of a row.

    Raises:
        Dropped: missing_column, wrong_type, lone_surrogate.
    """
    if value is None:
        raise Dropped("missing_column")
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Dropped("wrong_type")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise Dropped("lone_surrogate") from None


def _is_text(value: Any) -> bool:
    """Whether it is a string without half surrogate pairs, which JSON can spell and no file can hold."""
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or value.encode() is not None
    except UnicodeEncodeError:
        return False


def _text(row: dict[str, Any], what: str) -> str | None:
    value = row.get(what)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Dropped("wrong_type")
    return value


def _extra(row: dict[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if _is_text(language := row.get("language")):
        extra["language"] = language
    licences = row.get("licence")
    licences = [licences] if isinstance(licences, str) else licences
    if isinstance(licences, list):
        extra["licences"] = [one for one in licences if _is_text(one)]
    stars = row.get("stars")
    if isinstance(stars, int | float) and not isinstance(stars, bool) and math.isfinite(stars):
        extra["stars"] = int(stars)
    return extra
