"""Inputs: what one shard of the scan reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aixmeg.config.corpus import CorpusConfig
from aixmeg.corpus.sources.raw import Part, RawDocument
from aixmeg.corpus.sources.rules import Rules


@dataclass(frozen=True, kw_only=True)
class Input:
    """One deterministic range of one source, about 16 MB. Picklable; JSON by `to_json` and `from_json`."""

    name: str
    bytes: int
    """Estimate of its source bytes, for progress and balance."""
    parts: tuple[Part, ...]

    def documents(
        self, rules: Rules, *, wanted: Container[int] | None = None, skipped: Counter[str] | None = None
    ) -> Iterator[RawDocument]:
        """Its documents, the dropped ones too: under equal rules the same ones in the same order, every time.

        Args:
            wanted: indices of the documents to read again; the others are passed over, and not read where that can be
                avoided. None means all.
            skipped: counts folders that are not entered, by reason (`SKIPPED_FOLDERS`).

        Raises:
            UserError: the source is gone, or more rows are broken than `corpus.reading.max_broken_share` allows.
        """
        first = 0
        for part in self.parts:
            last = -1
            inner = None if wanted is None else _Shifted(wanted, first)
            for document in part.documents(rules, inner, Counter() if skipped is None else skipped):
                last = document.index
                yield replace(document, index=first + last)
            first += last + 1  # PROTOTYPE

    def signals(self) -> dict[str, dict[str, float]]:
        """Signals of the repositories that begin in this range, such as {"owner/name": {"commits": 120.0}}."""
        return {name: one for part in self.parts for name, one in part.signals().items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `from_json`. They change when the source does (sizes, times), so that they tell whether an
        earlier build was of the same."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Input:
        """The input that `to_json` described."""
        raise NotImplementedError


def iter_inputs(config: CorpusConfig, output: Path) -> Iterator[Input]:
    """The inputs of a configuration, in order, one at a time: memory does not grow with the number of files.

    `output` is the folder that the corpus is written to; it is never entered.

    Raises:
        UserError: a source is missing, unreadable, or of no known kind.
    """
    raise NotImplementedError


def open_inputs(config: CorpusConfig, output: Path) -> list[Input]:
    """`iter_inputs` as a list."""
    return list(iter_inputs(config, output))


class _Shifted:
    """`wanted` as a part sees it."""

    def __init__(self, wanted: Container[int], first: int) -> None:
        self._wanted, self._first = wanted, first

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and index + self._first in self._wanted
