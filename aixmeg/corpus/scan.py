"""Phase 1, over inputs: read every file, judge it by cheap steps, note what the global decisions need to know of it."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from aixmeg.config import CorpusConfig
from aixmeg.corpus.document import Document
from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.repositories import KnownRepositories
from aixmeg.corpus.rows import ROW, RowWriter, halves, repository_key
from aixmeg.corpus.sources import RawDocument, Rules
from aixmeg.corpus.steps import SCAN, StepDropped, Steps
from aixmeg.corpus.tally import Tally, cpu_seconds
from aixmeg.corpus.text_policy import apply_text_policy
from aixmeg.files import atomic_write, write_json


def scan_shard(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """inputs → scan/*: a row and a name per file that is kept so far, what is known of each repository, counts."""
    start = cpu_seconds()
    job = Job(folder)
    config, rules, steps = tools(str(folder), job.described()["fingerprint"])
    scan, source, near = _Scan(config, steps), job.input(shard), NearPieces(job, shard, config)
    with ExitStack() as stack:
        rows = RowWriter(stack.enter_context(atomic_write(job.at("scan", shard, "rows"), "wb")), ROW)
        names = stack.enter_context(atomic_write(job.at("scan", shard, "names"), "wb"))
        done = 0
        for raw in source.documents(rules, skipped=scan.tally.skipped_folders):
            tick(raw.index, done)
            done += raw.size if raw.content is not None else 0
            document = scan.document(raw, skip.get(raw.index))
            if document is not None:
                evidence = scan.evidence
                digest = hashlib.sha256(document.content).digest()
                rows.add(halves(digest), repository_key(raw.repository), raw.size, raw.index)
                names.write(json.dumps([raw.repository, raw.path, evidence]).encode() + b"\n")
                near.add(document, digest)
            tick(-1, done)
        rows.flush()
    near.finish()
    scan.repositories.write(job.at("scan", shard, "repositories"), source.signals())
    for name, seconds in steps.spent().items():
        scan.tally.spend(f"scan.{name}", seconds)
    scan.tally.spend("scan.near", near.cpu)
    scan.tally.spend("scan", cpu_seconds() - start)
    write_json(job.done("scan", shard), scan.tally.to_json())  # last: it marks the shard as done


@functools.lru_cache(maxsize=1)
def tools(folder: str, fingerprint: str) -> tuple[CorpusConfig, Rules, Steps]:
    """What a worker makes once: configuration, rules of reading, steps of the scan."""
    job = Job(Path(folder))
    config = job.config()
    return config, rules_of(config, Path(job.described()["output"])), Steps(SCAN, config)


def rules_of(config: CorpusConfig, output: Path) -> Rules:
    """What is read, in both passes."""
    if not config.licence.enabled:
        return Rules.of(config, output)
    from aixmeg.corpus.licence import speaks_for_folder

    return Rules.of(config, output, also_read=speaks_for_folder)


class NearPieces:
    """Signatures of an input's files, where near duplicates are looked for; so many at a time as fit into memory."""

    FILES: ClassVar[int] = 16_384

    def __init__(self, job: Job, shard: int, config: CorpusConfig) -> None:
        self._job, self._shard, self._config = job, shard, config.near
        self._count = 0
        self._sketches: Any = None
        self.cpu = 0.0

    @classmethod
    def path(cls, job: Job, shard: int, piece: int) -> Path:
        """What `aixmeg.corpus.near` calls a shard."""
        return job.at("scan", shard, f"near-{piece:05d}")

    def add(self, document: Document, digest: bytes) -> None:
        """Sketch the next file."""
        if not self._config.enabled:
            return
        start = time.process_time()
        if self._sketches is None:
            from aixmeg.corpus.near import Sketches

            self._sketches = Sketches(self._config.permutations)
        self._sketches.add(document.repository, document.path, document.content, digest)
        self._count += 1
        self.cpu += time.process_time() - start
        if self._count % self.FILES == 0:
            self.finish()

    def finish(self) -> None:
        """Write what is held."""
        if self._sketches is not None:
            self._sketches.write(self.path(self._job, self._shard, (self._count - 1) // self.FILES))
            self._sketches = None


class _Scan:
    """Judges raw documents, and counts."""

    def __init__(self, config: CorpusConfig, steps: Steps) -> None:
        self._config, self._steps = config, steps
        self.tally = Tally()
        self.repositories = KnownRepositories()
        self.evidence: list[str] | None = None
        """What the document at hand says of its licence."""

    def document(self, raw: RawDocument, skip: str | None) -> Document | None:
        """The document if it is kept so far."""
        self.tally.found.add(1, raw.size)
        self.evidence = self._licence(raw) if self._config.licence.enabled and raw.content is not None else None
        try:
            document = self._read(raw, skip)
        except Dropped as drop:
            step = drop.step if isinstance(drop, StepDropped) else "sources"
            self.tally.drop(step, drop.reason, raw.size, f"{raw.repository}/{raw.path}")
            self.repositories.dropped(raw)
            return None
        self.repositories.kept(raw)
        return document

    def _read(self, raw: RawDocument, skip: str | None) -> Document:
        if skip is not None:
            raise Dropped(skip)
        if raw.reason is not None:
            raise Dropped(raw.reason)
        document = document_of(raw, self._config, self.tally.counts)
        if drop := self._steps([document], lambda number: None)[0]:
            raise drop
        self.tally.counts.update(document.counts)
        return document

    def _licence(self, raw: RawDocument) -> list[str] | None:
        from aixmeg.corpus.licence import file_evidence

        assert raw.content is not None
        start = time.process_time()
        found = file_evidence(raw.path, raw.content, raw.extra)
        if found is not None:
            self.repositories.says(raw, found)
        self._steps.spend("licence", time.process_time() - start)
        return None if found is None else found.to_json()


def document_of(raw: RawDocument, config: CorpusConfig, counts: Counter[str]) -> Document:
    """The text of a raw document, the same in both passes.

    Raises:
        StepDropped: it is no text.
    """
    assert raw.content is not None and raw.language is not None, f"{raw.path}: neither text nor a reason"
    try:
        content = apply_text_policy(raw.content, config.reading, counts)
    except Dropped as drop:
        raise StepDropped("text", drop.reason) from None
    return Document(repository=raw.repository, path=raw.path, language=raw.language, content=content)
