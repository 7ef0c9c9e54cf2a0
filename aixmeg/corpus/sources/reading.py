"""One pass over an input: which documents are asked for, and the judgement that all kinds of source share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container
from typing import Any, Final

from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.rules import Rules

STILL_READ: Final = frozenset({"unknown_language", "no_grammar", "language_not_selected", "too_small"})
"""Reasons that do not stop `Rules.also_read`: the file itself is as good as any."""

Read = Callable[[], bytes]


class Reading:
    """State of one pass."""

    def __init__(self, rules: Rules, *, wanted: Container[int] | None = None) -> None:
        self.rules = rules
        self.skipped: Counter[str] = Counter()
        """Folders that were not entered, by reason."""
        self.index = -1
        """Of the document at hand."""
        self.wanted = wanted

    def take(self) -> bool:
        """Go on to the next document; whether it is asked for.

        What stands for all that can no longer be read is a document of its own, also where it was met inside another:
        a pass that does not read that one meets it behind, and must count alike.
        """
        self.index += 1
        return self.wanted is None or self.index in self.wanted

    def document(
        self, repository: str, path: str, size: int, read: Read, *, extra: dict[str, Any] | None = None
    ) -> RawDocument:
        """The document at hand: dropped by its path or size, or read and perhaps dropped for its content.

        `read` may raise `Dropped`, and may return more or fewer bytes than `size` where the source does not tell it.
        """
        rules, extra = self.rules, {} if extra is None else extra
        content = None
        try:
            candidate = rules.by_name(path, extra.get("language"))
            rules.check_size(size)
            content = read()
            size = len(content)
            language = rules.by_content(path, content, candidate)
            return self._made(repository, path, size, content, language, None, extra)
        except Dropped as drop:
            reason = drop.reason
        if reason not in STILL_READ or not rules.reads_also(path, size):
            return self.dropped(repository, path, size, reason, extra=extra)
        try:
            content = read() if content is None else content
        except Dropped as drop:
            return self.dropped(repository, path, size, drop.reason, extra=extra)
        return self._made(repository, path, len(content), content, None, reason, extra)

    def dropped(
        self, repository: str, path: str, size: int, reason: str, *, extra: dict[str, Any] | None = None
    ) -> RawDocument:
        """The document at hand, not read."""
        return self._made(repository, path, size, None, None, reason, {} if extra is None else extra)

    def _made(  # noqa: PLR0917 (one call for each outcome, right above)
        self,
        repository: str,
        path: str,
        size: int,
        content: bytes | None,
        language: str | None,
        reason: str | None,
        extra: dict[str, Any],
    ) -> RawDocument:
        if reason is not None and not path.isascii():  # names that are not UTF-8 come with lone surrogates
            path = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return RawDocument(
            repository=repository, path=path, size=size, language=language, content=content, reason=reason,
            extra=extra, index=self.index,
        )  # fmt: skip
