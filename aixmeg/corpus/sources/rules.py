"""What is dropped by name and size alone, before any byte is read. The same for every kind of source."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aixmeg.config.corpus import CorpusConfig, SourcesConfig
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.folders import GENERATED, MACHINE_LANGUAGES
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, canonical, language_of

ALSO_READ_BYTES: Final = 1 << 20
"""A file that is read only because `Rules.also_read` asks for it is read up to this length, and not at all beyond."""


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
        return cls(
            languages=languages,
            min_bytes=config.min_file_bytes,
            max_bytes=config.max_file_bytes,
            output=str(output.resolve()),
            also_read=also_read,
            reading=config.reading,
        )

    def check_size(self, size: int) -> None:
        """Raise `Dropped` if a file of this length is not kept."""
        if size < self.min_bytes:
            raise Dropped("too_small")
        if size > self.max_bytes:
            raise Dropped("too_large")


def _with_grammar(name: str) -> str:
    language = canonical(name)
    if language.grammar is None:
        raise UserError(f"corpus.languages holds {name!r}, which has no grammar; choose among: "
                        f"{', '.join(sorted(key for key, row in LANGUAGES.items() if row.grammar))}")  # fmt: skip
    return language.name
