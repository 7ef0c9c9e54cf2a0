"""Phase 5, over inputs: read the files that are kept so far again, clean them, and sort them by repository."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.config import CorpusConfig
from aixmeg.corpus.document import Document
from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.order import imports_of
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.rows import halves, open_rows, place_of
from aixmeg.corpus.scan import document_of, rules_of
from aixmeg.corpus.source_file import SourceFile
from aixmeg.corpus.sources import Input, RawDocument, Rules
from aixmeg.corpus.spill import SpillWriter
from aixmeg.corpus.steps import CLEAN, StepDropped, Steps
from aixmeg.corpus.tally import Tally, cpu_seconds
from aixmeg.files import atomic_write, read_json, write_json
from aixmeg.languages import LANGUAGES
from aixmeg.syntax.store import pack

_BATCH_BYTES: Final = 2 << 20
_BATCH_FILES: Final = 256
"""What goes through the steps together; held in memory with its syntax trees."""


def clean_shard(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """inputs, scan/*, judge/*, decide/* → clean/*: kept files with their stored syntax, sorted by repository."""
    start = cpu_seconds()
    job, tally, done = Job(folder), Tally(), 0
    tools = _tools(str(folder), job.described()["fingerprint"])
    with atomic_write(job.at("clean", shard, "spill"), "wb") as file:
        spill = SpillWriter(file)
        cleaner = _Cleaner(tools, _licences(job, shard), skip, tally, spill)
        for batch in _batches(wanted_documents(job, shard, tools.rules)):
            cleaner.add(batch, lambda index, done=done: tick(index, done))
            done += sum(wanted.size for wanted, _ in batch)
            tick(-1, done)
        entries = spill.finish()
    with atomic_write(job.at("clean", shard, "index"), "wb") as file:
        file.write(entries.tobytes())
    for name, seconds in tools.steps.spent().items():
        tally.spend(f"clean.{name}", seconds)
    tally.spend("clean", cpu_seconds() - start)
    write_json(job.done("clean", shard), tally.to_json())  # last: it marks the shard as done


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is kept so far, as the scan saw it."""

    repository: str
    path: str
    index: int
    size: int
    digest: tuple[int, int]
    row: int
    """Its row in the scan of the input."""


Read = tuple[Wanted, RawDocument | None]


def wanted_documents(job: Job, shard: int, rules: Rules) -> Iterator[Read]:
    """The files of an input that are kept so far; None where the source no longer gives one."""
    rows = open_rows(job.at("scan", shard, "rows"))
    kept = np.flatnonzero(decisions_of(job, shard) == 0)
    if not len(kept):
        return
    asked = np.zeros(int(rows["index"][kept[-1]]) + 1, bool)
    asked[rows["index"][kept]] = True
    waiting = _wanted(job.at("scan", shard, "names"), rows, kept)
    expected = next(waiting, None)
    source: Input = job.input(shard)
    for raw in source.documents(rules, wanted=_Asked(asked)):
        while expected is not None and expected.index < raw.index:
            yield expected, None
            expected = next(waiting, None)
        if expected is not None and expected.index == raw.index:
            yield expected, raw
            expected = next(waiting, None)
    while expected is not None:
        yield expected, None
        expected = next(waiting, None)


def decisions_of(job: Job, shard: int) -> np.ndarray:
    """What was decided of each row of an input: 0 keeps it, others count from 1 in the plan's list."""
    bounds = open_rows(job.folder / "decide" / "bounds", np.dtype("<u8"))
    decisions = open_rows(job.folder / "decide" / "decisions", np.dtype("u1"))
    return decisions[int(bounds[shard]) : int(bounds[shard + 1])]


def _wanted(names: Path, rows: np.ndarray, kept: np.ndarray) -> Iterator[Wanted]:
    asked = iter(kept.tolist())
    row = next(asked, None)
    with names.open("rb") as lines:
        for number, line in enumerate(lines):
            if number == row:
                one = rows[number]
                high, low = one["digest"].tolist()
                repository, path, _ = json.loads(line)
                yield Wanted(repository, path, int(one["index"]), int(one["size"]), (high, low), number)
                row = next(asked, None)


class _Asked:
    """Indices as a bit map: a compressed table may hold millions."""

    def __init__(self, asked: np.ndarray) -> None:
        self._asked = asked

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and index < len(self._asked) and bool(self._asked[index])


def _batches(documents: Iterable[Read]) -> Iterator[list[Read]]:
    batch: list[Read] = []
    size = 0
    for one in documents:
        batch.append(one)
        size += one[0].size
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _licences(job: Job, shard: int) -> Callable[[int], str | None]:
    """Row of an input's scan → licence of the file."""
    if not job.shards("judge"):
        return lambda row: None
    names = read_json(job.done("judge", shard))["licences"]
    which = open_rows(job.at("judge", shard, "which"), np.dtype("<u4"))
    return lambda row: names[which[row]] or None


@dataclass(frozen=True)
class _Tools:
    """What a worker makes once."""

    config: CorpusConfig
    rules: Rules
    steps: Steps


@functools.lru_cache(maxsize=1)
def _tools(folder: str, fingerprint: str) -> _Tools:
    job = Job(Path(folder))
    config = job.config()
    return _Tools(config, rules_of(config, Path(job.described()["output"])), Steps(CLEAN, config))


@dataclass(frozen=True)
class _Cleaner:
    """Cleans the files of an input, counts and spills them."""

    tools: _Tools
    licences: Callable[[int], str | None]
    skip: Mapping[int, str]
    tally: Tally
    spill: SpillWriter

    def add(self, batch: Sequence[Read], at: Callable[[int], None]) -> None:
        """Clean neighbouring files; `at` is told the index of the one at hand."""
        read: list[tuple[Wanted, Document]] = []
        for wanted, raw in batch:
            at(wanted.index)
            try:
                read.append((wanted, self._read(wanted, raw)))
            except Dropped as drop:
                self._drop(wanted, drop)
        documents = [document for _, document in read]
        dropped = self.tools.steps(documents, lambda number: at(read[number][0].index if number >= 0 else -1))
        for (wanted, document), drop in zip(read, dropped, strict=True):
            at(wanted.index)
            try:
                if drop is not None:
                    raise drop
                self._keep(wanted, document)
            except Dropped as late:
                self._drop(wanted, late, document)
        at(-1)

    def _read(self, wanted: Wanted, raw: RawDocument | None) -> Document:
        if wanted.index in self.skip:
            raise StepDropped("syntax", self.skip[wanted.index])
        if raw is None or (raw.repository, raw.path) != (wanted.repository, wanted.path):
            raise Dropped("changed")
        if raw.reason is not None:
            raise Dropped(raw.reason)
        document = document_of(raw, self.tools.config, Counter())
        if halves(hashlib.sha256(document.content).digest()) != wanted.digest:
            raise Dropped("changed")
        return document

    def _keep(self, wanted: Wanted, document: Document) -> None:
        start = time.process_time()
        kept, syntax, imports = _record(document, self.licences(wanted.row))
        about = [kept.repository, kept.path, kept.language, kept.bytes, imports]
        place = place_of(kept.repository, self.tools.config.order.seed)
        self.spill.add(place, json.dumps(about).encode(), kept.to_line(), syntax)
        self.tally.keep(kept.language, wanted.size, text_bytes=kept.bytes)
        self.tally.counts.update(document.counts)
        for record in document.audit:
            self.tally.note(f"{kept.repository}/{kept.path}", record)
        self.tools.steps.spend("record", time.process_time() - start)

    def _drop(self, wanted: Wanted, drop: Dropped, document: Document | None = None) -> None:
        step = drop.step if isinstance(drop, StepDropped) else "reread"
        name = f"{wanted.repository}/{wanted.path}"
        self.tally.drop(step, drop.reason, wanted.size, name)
        if document is not None:  # why it was dropped; what other steps did to it is gone with it
            mine = {key: count for key, count in document.counts.items() if key.startswith(f"{step}.")}
            self.tally.counts.update(mine)
            for record in document.audit:
                if record.get("step") == step:
                    self.tally.note(name, record)


def _record(document: Document, licence: str | None) -> tuple[SourceFile, bytes, list[str]]:
    """The file as the corpus holds it, its stored syntax, its imports."""
    error_share, syntax, imports = 0.0, b"", []
    if LANGUAGES[document.language].grammar is not None:
        tree = document.tree()
        error_share, syntax, imports = tree.error_share, pack(tree), imports_of(document)
    kept = SourceFile(
        repository=document.repository, path=document.path, language=document.language,
        text=document.content.decode(), bytes=len(document.content),
        sha256=hashlib.sha256(document.content).hexdigest(), error_share=error_share, licence=licence,
        tags=document.tags,
    )  # fmt: skip
    return kept, syntax, imports
