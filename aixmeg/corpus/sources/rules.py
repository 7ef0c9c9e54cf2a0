"""What is dropped by name and size, before any byte is read, and by a look at the content. For every kind of source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aixmeg.config.corpus import CorpusConfig, ProseConfig, SourcesConfig
from aixmeg.corpus.prose import PROSE_LANGUAGES
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.folders import GENERATED, MACHINE_LANGUAGES
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, SCRIPTS, candidates, canonical, language_by_content, language_named, language_of

ALSO_READ_BYTES: Final = 1 << 20
"""A file that is read only because `Rules.also_read` asks for it is not read if it is longer."""
_LFS: Final = b"version https://git-lfs"
"""Begins the pointer that git LFS leaves in the place of a file."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is read."""

    languages: frozenset[str]
    min_bytes: int
    max_bytes: int
    output: str = ""
    """Folder that the corpus is written to, resolved; never entered."""
    also_read: Callable[[str], bool] | None = None
    """Of a path: whether the content is wanted although the file is no candidate (licence files). A function of a
    module, so that it can be pickled."""
    reading: SourcesConfig = field(default_factory=SourcesConfig)
    prose: ProseConfig = field(default_factory=ProseConfig)
    """Natural language needs no grammar; with `enabled` false it is read like code, or not at all."""

    @classmethod
    def of(cls, config: CorpusConfig, output: Path, *, also_read: Callable[[str], bool] | None = None) -> Rules:
        """The rules of a configuration.

        Raises:
            UserError: a language is unknown or has no grammar.
        """
        if config.languages:
            languages = frozenset(_with_grammar(name) for name in config.languages)
        elif config.sources:
            languages = frozenset(LANGUAGES)
        else:
            languages = frozenset(MACHINE_LANGUAGES)
        return cls(languages=languages, min_bytes=config.min_file_bytes, max_bytes=config.max_file_bytes,
                   output=str(output.resolve()), also_read=also_read, reading=config.reading,
                   prose=config.prose)  # fmt: skip

    def by_name(self, path: str, hint: str | None = None) -> str | None:
        """The language of a path; None if its content decides.

        `hint` is the language that the source names. It decides among candidates, and where the name says nothing.

        Raises:
            Dropped: bad_name, unsafe_path, skipped_folder, unknown_language, no_grammar, language_not_selected.
        """
        check_path(path)
        possible = candidates(path) if self.reading.language_by_content else _by_ending(path)
        hinted = language_named(hint) if hint is not None else None
        if hinted is not None and (not possible or possible is SCRIPTS or hinted.name in possible):
            possible = (hinted.name,)
        if not possible:
            raise Dropped("unknown_language")
        if len(possible) == 1:
            return self._selected(possible[0])
        if self.languages.isdisjoint(possible):
            raise Dropped("language_not_selected")
        return None

    def by_content(self, path: str, content: bytes, language: str | None) -> str:
        """The language of a file that was read; `language` is what `by_name` gave.

        Raises:
            Dropped: lfs_pointer, too_small, too_large, unknown_language, no_grammar, language_not_selected.
        """
        if content.startswith(_LFS) and len(content) < 1024:
            raise Dropped("lfs_pointer")
        self.check_size(len(content))  # where the source did not tell it
        if language is not None:
            return language
        found = language_by_content(path, content)
        if found is None:
            raise Dropped("unknown_language")
        return self._selected(found)

    def check_size(self, size: int) -> None:
        """Raise `Dropped` if a file of this length is not kept."""
        if size < self.min_bytes:
            raise Dropped("too_small")
        if size > self.max_bytes:
            raise Dropped("too_large")

    def reads_also(self, path: str, size: int) -> bool:
        """Whether the content of a file that is no candidate is wanted."""
        return self.also_read is not None and size <= ALSO_READ_BYTES and self.also_read(path)

    def _selected(self, language: str) -> str:
        if LANGUAGES[language].grammar is None and not (self.prose.enabled and language in PROSE_LANGUAGES):
            raise Dropped("no_grammar")
        if language not in self.languages:
            raise Dropped("language_not_selected")
        return language


def _by_ending(path: str) -> tuple[str, ...]:
    language = language_of(path)
    return () if language is None else (language.name,)


def check_path(path: str) -> None:
    """Raise `Dropped` for a path that is not UTF-8, leaves its repository, or lies in a folder that is not entered."""
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            raise Dropped("bad_name") from None
    if not path or "\0" in path:
        raise Dropped("bad_name")
    folders = path.split("/")
    name = folders.pop()
    if name in ("", ".", ".."):
        raise Dropped("unsafe_path")
    for folder in folders:
        if folder in ("", ".", ".."):
            raise Dropped("unsafe_path")
        if folder[0] == "." or folder in GENERATED:
            raise Dropped("skipped_folder")


def _with_grammar(name: str) -> str:
    language = canonical(name)
    if language.grammar is None:
        raise UserError(f"corpus.languages holds {name!r}, which has no grammar; choose among: "
                        f"{', '.join(sorted(key for key, row in LANGUAGES.items() if row.grammar))}")  # fmt: skip
    return language.name
