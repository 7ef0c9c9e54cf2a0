"""Held-out files and the gaps that could be asked of them: at most one of each shape in a file.

Files are read by the corpus's own readers and pass its steps for generated files and syntax, so that what is left out
has the same names here as there. The gaps are drawn by the training's strategies, with a seed of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aixmeg.config import CorpusConfig
from aixmeg.config.sfim import STRATEGIES, SfimConfig
from aixmeg.corpus.document import Document
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.scan import document_of
from aixmeg.corpus.sources import Rules, iter_inputs
from aixmeg.corpus.steps import CLEAN, SCAN, Steps
from aixmeg.sfim.choose import Draws, document_id
from aixmeg.sfim.draw import draw_middle
from aixmeg.tokenizer import CodeTokenizer

SHAPES: Final = STRATEGIES[STRATEGIES.index("method_signature") :]
"""FIM-Eval's thirteen kinds of gaps."""
_STEPS: Final = ("generated", "syntax")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large a task may be."""

    middle_bytes: int
    """Most bytes of a gap."""
    middle_tokens: int | None = None
    """Most tokens of a gap; None does not count them."""
    file_tokens: int | None = None
    """Most tokens of a file."""
    tokenizer: CodeTokenizer | None = None
    """Counts the tokens."""

    def file_fits(self, text: bytes) -> bool:
        """Whether a file has few enough tokens."""
        return _fits(self.tokenizer, self.file_tokens, text)

    def middle_fits(self, text: bytes) -> bool:
        """Whether a gap has few enough tokens."""
        return _fits(self.tokenizer, self.middle_tokens, text)


def _fits(tokenizer: CodeTokenizer | None, most: int | None, text: bytes) -> bool:
    if tokenizer is None or most is None or len(text) <= most:  # a token is at least a byte
        return True
    return len(tokenizer.encode(text.decode())) <= most


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A gap: bytes [start, end) of a file."""

    document: Document
    shape: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """Unique among the tasks of a set."""
        return f"{self.document.repository}:{self.document.path}#{self.shape}"

    @property
    def middle(self) -> bytes:
        """What stands in the gap."""
        return self.document.content[self.start : self.end]

    def draws(self, seed: int) -> Draws:
        """Random numbers of the file."""
        return Draws(seed, 0, document_id(self.document.repository, self.document.path))


def held_out_files(config: CorpusConfig, output: Path, limits: Limits, dropped: Counter[str]) -> Iterator[Document]:
    """The files of `config.sources` that tasks are made of; `dropped` counts the others by reason.

    Raises:
        UserError: a source is missing, or a language is unknown.
    """
    rules = Rules.of(config, output)
    steps = Steps([row for row in (*SCAN, *CLEAN) if row.name in _STEPS], config)
    seen: set[bytes] = set()
    for source in iter_inputs(config, output):
        for raw in source.documents(rules, skipped=dropped):
            try:
                if raw.reason is not None:
                    raise Dropped(raw.reason)
                document = document_of(raw, config, Counter())
                if drop := steps([document], lambda number: None)[0]:
                    raise drop
                if document.content in seen:
                    raise Dropped("exact_duplicate")
                if not limits.file_fits(document.content):
                    raise Dropped("too_many_tokens")
            except Dropped as drop:
                dropped[drop.reason] += 1
                continue
            seen.add(document.content)
            yield document


def candidates(
    documents: Iterable[Document], wanted: Callable[[str, str], int], limits: Limits, *, seed: int,
    no_place: Counter[tuple[str, str]],
) -> Iterator[Candidate]:  # fmt: skip
    """The gaps of files, a pure function of (seed, repository, path) for each.

    Args:
        documents: held-out files.
        wanted: (language, shape) → how many tasks of it are asked for; of none, no gap is drawn.
        limits: sizes of gaps.
        seed: of all draws.
        no_place: counts the files without a place for a gap of (language, shape) that keeps the limits.
    """
    for document in documents:
        for shape in SHAPES:
            if not wanted(document.language, shape):
                continue
            drawn = draw_middle(
                document.tree(), SfimConfig(strategies={shape: 1.0}), max_middle_bytes=limits.middle_bytes,
                uniform=Draws(seed, 0, document_id(document.repository, document.path)).uniform,
                accept=lambda start, end, text=document.content: limits.middle_fits(text[start:end]),
            )  # fmt: skip
            if drawn is None:
                no_place[document.language, shape] += 1
            else:
                yield Candidate(document=document, shape=shape, start=drawn.span.start, end=drawn.span.end)
        document.replace(document.content)  # its tree is not needed any more
