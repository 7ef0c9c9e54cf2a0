"""What is done to every file by itself: the one table of steps, and how a file goes through them.

A step is switched by `corpus.NAME.enabled` and imported only when it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aixmeg.config import CorpusConfig
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.tally import cpu_seconds


@dataclass(frozen=True)
class Row:
    """A step of the table."""

    name: str
    """Also of its section of the configuration, where it has one."""
    make: Callable[[CorpusConfig], Step]
    code_only: bool = False
    """Whether it passes over natural language, which the step `prose` tags."""


class StepDropped(Dropped):
    """A drop that tells which step it was."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(reason)
        self.step = step


class Steps:
    """The enabled steps of a phase, made once per worker."""

    def __init__(self, rows: Iterable[Row], config: CorpusConfig) -> None:
        self._runs: list[list[tuple[Row, Step]]] = [[]]
        for row in rows:
            if getattr(getattr(config, row.name, None), "enabled", True):
                step = row.make(config)
                if hasattr(step, "prepare"):  # it begins a new run
                    self._runs.append([])
                self._runs[-1].append((row, step))
        self._spent: dict[str, float] = {}

    def __call__(self, documents: Sequence[Document], at: Callable[[int], None]) -> list[StepDropped | None]:
        """Take documents through all steps; returns for each why it was dropped.

        Args:
            documents: neighbours. A step that has a method `prepare(documents)` is given all of them that are left at
                once, before it is called with each.
            at: called before document i is touched with i, and with -1 behind the last.
        """
        dropped: list[StepDropped | None] = [None] * len(documents)
        for run in self._runs:
            if run and (prepare := getattr(run[0][1], "prepare", None)) is not None:
                start = cpu_seconds()
                prepare([one for one, drop in zip(documents, dropped, strict=True) if drop is None])
                self.spend(run[0][0].name, cpu_seconds() - start)
            for number, document in enumerate(documents):
                if run and dropped[number] is None:
                    at(number)
                    dropped[number] = self._through(run, document)
            at(-1)
        return dropped

    def _through(self, run: list[tuple[Row, Step]], document: Document) -> StepDropped | None:
        before = time.process_time()
        for row, step in run:
            if row.code_only and document.tags.get("kind") == "prose":
                continue
            try:
                step(document)
            except Dropped as drop:
                return StepDropped(row.name, drop.reason)
            finally:
                now = time.process_time()
                self.spend(row.name, now - before)
                before = now
        return None

    def spend(self, name: str, seconds: float) -> None:
        """Count CPU seconds."""
        self._spent[name] = self._spent.get(name, 0.0) + seconds

    def spent(self) -> dict[str, float]:
        """CPU seconds by step since the last call."""
        spent, self._spent = self._spent, {}
        return spent


def _prose(config: CorpusConfig) -> Step:
    from aixmeg.corpus.prose import make_step

    return make_step(config.prose)


def _prose_again(config: CorpusConfig) -> Step:
    from aixmeg.corpus.prose import make_cleaner

    return make_cleaner(config.prose)


def _generated(config: CorpusConfig) -> Step:
    from aixmeg.corpus.generated import make_step

    return make_step(config.generated)


def _scrub(config: CorpusConfig) -> Step:
    from aixmeg.corpus.scrub import make_step

    return make_step(config.scrub)


def _syntax(config: CorpusConfig) -> Step:
    from aixmeg.corpus.syntax import make_step

    return make_step(config.max_error_share, config.error_share_of)


def _commented(config: CorpusConfig) -> Step:
    from aixmeg.corpus.commented import make_step

    return make_step(config.commented)


def _defects(config: CorpusConfig) -> Step:
    from aixmeg.corpus.defects import make_step

    return make_step(config.defects)


def _decontaminate(config: CorpusConfig) -> Step:
    from aixmeg.corpus.decontaminate import make_step

    return make_step(config.decontaminate)


SCAN: Final[tuple[Row, ...]] = (Row("prose", _prose), Row("generated", _generated, code_only=True))
"""Cheap steps, run on every file before duplicates are dropped. They judge; the text stays as it is."""
CLEAN: Final[tuple[Row, ...]] = (
    Row("prose", _prose_again),
    Row("scrub", _scrub),
    Row("syntax", _syntax, code_only=True),
    Row("commented", _commented, code_only=True),
    Row("defects", _defects, code_only=True),
    Row("decontaminate", _decontaminate),
)
"""Steps run on the files that are kept so far. They may change the text."""
STEP_ORDER: Final = (
    "sources", "text", "prose", "generated", "licence", "rank", "exact", "near", "budget", "reread", "scrub", "syntax",
    "commented", "defects", "decontaminate",
)  # fmt: skip
"""In which a file meets them: the stages of the report's funnel."""
