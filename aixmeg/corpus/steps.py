"""What is done to every file by itself: the one table of steps, and how a file goes through them.

A step is switched by `corpus.NAME.enabled` and imported only when it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aixmeg.config import CorpusConfig
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.reasons import Dropped
from aixmeg.languages import LANGUAGES


@dataclass(frozen=True)
class Row:
    """A step of the table."""

    name: str
    """Also of its section of the configuration, where it has one."""
    make: Callable[[CorpusConfig], Step]


class StepDropped(Dropped):
    """A drop that tells which step it was."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


class Steps:
    """The enabled steps of a phase, made once per worker; `cpu` adds up the seconds that each took."""

    def __init__(self, rows: Iterable[Row], config: CorpusConfig) -> None:
        self._steps = [(row.name, row.make(config)) for row in rows if _enabled(row.name, config)]
        self.cpu: dict[str, float] = {}

    def __call__(self, document: Document) -> None:
        """Take the document through all steps.

        Raises:
            StepDropped: one of them dropped it.
        """
        before = time.process_time()
        for name, step in self._steps:
            try:
                step(document)
            except Dropped as drop:
                raise StepDropped(name, drop.reason) from None
            finally:
                now = time.process_time()
                self.cpu[name] = self.cpu.get(name, 0.0) + now - before
                before = now

    def spent(self) -> dict[str, float]:
        """CPU seconds by step since the last call."""
        spent, self.cpu = self.cpu, {}
        return spent


def _enabled(name: str, config: CorpusConfig) -> bool:
    return getattr(getattr(config, name, None), "enabled", True)


def _syntax(config: CorpusConfig) -> Step:
    def step(document: Document) -> None:
        if LANGUAGES[document.language].grammar is None:
            return
        if document.tree().error_share > config.max_error_share:
            raise Dropped("syntax_errors")

    return step


SCAN: Final[tuple[Row, ...]] = ()
"""Cheap steps, run on every file before duplicates are dropped. They judge; the text stays as it is."""
CLEAN: Final[tuple[Row, ...]] = (Row("syntax", _syntax),)
"""Steps run on the files that are kept so far. They may change the text."""
STEP_ORDER: Final = (
    "sources", "text", "generated", "prose", "licence", "rank", "exact", "near", "budget", "reread", "scrub", "syntax",
    "commented", "defects", "decontaminate",
)  # fmt: skip
"""In which a file meets them: the stages of the report's funnel."""
