"""Phase 3, over inputs: read the files that are kept so far again, clean them, and sort them by repository."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
from aixmeg.corpus.tally import Tally
from aixmeg.files import atomic_write, write_json
from aixmeg.languages import LANGUAGES


def clean_shard(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """inputs, scan/*, decide/* → clean/*: kept files with their stored syntax, sorted by repository."""
    start = time.process_time()
    job, tally, done = Job(folder), Tally(), 0
    cleaner = _cleaner(str(folder), job.described()["fingerprint"])
    with atomic_write(job.at("clean", shard, "spill"), "wb") as file:
        spill = SpillWriter(file)
        for wanted, raw in wanted_documents(job, shard, cleaner.rules):
            tick(wanted.index, done)
            done += wanted.size
            try:
                if wanted.index in skip:
                    raise Dropped(skip[wanted.index])
                cleaner.add(wanted, raw, tally, spill)
            except Dropped as drop:
                step = drop.step if isinstance(drop, StepDropped) else "reread"
                tally.drop(step, drop.reason, wanted.size, f"{wanted.repository}/{wanted.path}")
            tick(-1, done)
        entries = spill.finish()
    with atomic_write(job.at("clean", shard, "index"), "wb") as file:
        file.write(entries.tobytes())
    for name, seconds in cleaner.steps.spent().items():
        tally.spend(f"clean.{name}", seconds)
    tally.spend("clean", time.process_time() - start)
    write_json(job.done("clean", shard), tally.to_json())  # last: it marks the shard as done


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is kept so far, as the scan saw it."""

    repository: str
    path: str
    index: int
    size: int
    digest: tuple[int, int]


def wanted_documents(job: Job, shard: int, rules: Rules) -> Iterator[tuple[Wanted, RawDocument | None]]:
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
                repository, path = json.loads(line)
                yield Wanted(repository, path, int(one["index"]), int(one["size"]), (high, low))
                row = next(asked, None)


class _Asked:
    """Indices as a bit map: a compressed table may hold millions."""

    def __init__(self, asked: np.ndarray) -> None:
        self._asked = asked

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and index < len(self._asked) and bool(self._asked[index])


class _Cleaner:
    """What a worker makes once."""

    def __init__(self, job: Job) -> None:
        self._config: CorpusConfig = job.config()
        self.rules = rules_of(self._config, Path(job.described()["output"]))
        self.steps = Steps(CLEAN, self._config)

    def add(self, wanted: Wanted, raw: RawDocument | None, tally: Tally, spill: SpillWriter) -> None:
        """Clean a file, count it and spill it.

        Raises:
            Dropped: a step drops it, or it is not what the scan saw.
        """
        if raw is None or (raw.repository, raw.path) != (wanted.repository, wanted.path):
            raise Dropped("changed")
        if raw.reason is not None:
            raise Dropped(raw.reason)
        document = document_of(raw, self._config, Counter())
        if halves(hashlib.sha256(document.content).digest()) != wanted.digest:
            raise Dropped("changed")
        self.steps(document)
        before = time.process_time()
        licence = document.tags.pop("licence", None)
        error_share, spans, imports = _syntax_of(document)
        kept = SourceFile(
            repository=document.repository, path=document.path, language=document.language,
            text=document.content.decode(), bytes=len(document.content),
            sha256=hashlib.sha256(document.content).hexdigest(), error_share=error_share, licence=licence,
            tags=document.tags,
        )  # fmt: skip
        about = [kept.repository, kept.path, kept.language, kept.bytes, imports]
        place = place_of(kept.repository, self._config.order.seed)
        spill.add(place, json.dumps(about).encode(), kept.to_line(), spans)
        self.steps.cpu["record"] = self.steps.cpu.get("record", 0.0) + time.process_time() - before
        tally.keep(document.language, wanted.size, text_bytes=kept.bytes, licence=licence)
        tally.counts.update(document.counts)
        for record in document.audit:
            tally.note(f"{kept.repository}/{kept.path}", record)


def _syntax_of(document: Document) -> tuple[float, bytes, list[str]]:
    """Share of error bytes, stored syntax, and imports."""
    if LANGUAGES[document.language].grammar is None:
        return 0.0, b"", []
    tree = document.tree()
    return tree.error_share, b"", imports_of(document)


@functools.lru_cache(maxsize=1)
def _cleaner(folder: str, fingerprint: str) -> _Cleaner:
    return _Cleaner(Job(Path(folder)))
