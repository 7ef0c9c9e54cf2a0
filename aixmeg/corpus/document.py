"""A file on its way through the steps, and what a step is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from aixmeg.corpus.reasons import Dropped
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import ParseLimit, SyntaxTree, parse


@dataclass(slots=True, kw_only=True)
class Document:
    """One file; the steps change it in place."""

    repository: str
    path: str
    """Inside the repository, with `/`."""
    language: str
    """Key of `LANGUAGES`."""
    content: bytes
    """Valid UTF-8 without NUL bytes; change it by `replace`."""
    tags: dict[str, Any] = field(default_factory=dict)
    """Kept with the file in the corpus: licence, defects …"""
    counts: Counter[str] = field(default_factory=Counter)
    """What the steps did: {"scrub.email": 3}; summed over the corpus for the report."""
    audit: list[dict[str, Any]] = field(default_factory=list)
    """Records for people to look at; a sample of all files' goes into the report."""
    _tree: SyntaxTree | None = None

    def replace(self, content: bytes) -> None:
        """Give the file other bytes."""
        self.content = content
        self._tree = None

    def tree(self) -> SyntaxTree:
        """The syntax tree, parsed once for all steps.

        Raises:
            Dropped: the parser exceeded its bound of steps (`parse_limit`).
            UserError: the language has no grammar.
        """
        if self._tree is None:
            try:
                self._tree = parse(LANGUAGES[self.language], self.content)
            except ParseLimit:
                raise Dropped("parse_limit") from None
        return self._tree


class Step(Protocol):
    """One thing that is done to every file by itself. Made once per worker, from its section of the configuration.

    What it does to a file depends on the configuration and the file alone, never on the files before it.
    """

    def __call__(self, document: Document) -> None:
        """Change `document` in place, or raise `Dropped`."""
        ...
