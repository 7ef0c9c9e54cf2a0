"""Syntax trees that the corpus keeps beside its shards, so that examples are made without parsing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aixmeg.corpus.source_file import INDEX, read_index
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import SyntaxTree
from aixmeg.syntax.store import StaleSyntax, unpack


class StoredTrees:
    """The trees of one shard, read one by one; a shard without them, or with old ones, gives None.

    Args:
        shard: `shard-00000.jsonl`.
    """

    def __init__(self, shard: Path) -> None:
        path = shard.with_suffix(".spans")
        index = read_index(shard)
        self._rows = np.zeros(0, INDEX) if index is None or not path.is_file() else index
        self._row = -1
        try:
            self._file = path.open("rb") if len(self._rows) else None
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def place(self, position: int) -> tuple[int, int] | None:
        """Where the tree of the line at byte `position` lies: offset and bytes. Positions ascend from call to call."""
        if self._row < 0 and len(self._rows):
            self._row = int(np.searchsorted(self._rows["line"], position))
        if self._row >= len(self._rows) or not len(self._rows):
            return None
        line, offset, size = self._rows[self._row].tolist()
        if line != position:
            return None
        self._row += 1
        return (offset, size) if size else None

    def read(self, place: tuple[int, int] | None, language: str, text: bytes) -> SyntaxTree | None:
        """The tree at `place`; None where there is none, or it is not of this text and these grammars."""
        known = LANGUAGES.get(language)
        if self._file is None or place is None or known is None or known.grammar is None:
            return None
        self._file.seek(place[0])
        try:
            return unpack(self._file.read(place[1]), known, text)
        except StaleSyntax:
            return None
