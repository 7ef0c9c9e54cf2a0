"""Phase 6, over output shards: gather each repository's files, order them, write the corpus."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.order import OrderFile, order_repository
from aixmeg.corpus.source_file import INDEX, shard_name
from aixmeg.corpus.spill import SpillReader, entries_between, shard_bounds
from aixmeg.corpus.tally import cpu_seconds
from aixmeg.files import atomic_write, write_json


def order_shard(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """clean/* → order/*: one shard of the corpus. Repositories stand by a hash of their names: in a random order."""
    start = cpu_seconds()
    job = Job(folder)
    config = job.config().order
    files = _gathered(job, shard)
    repositories, kinds, imports, backward = 0, dict[str, int](), 0, 0
    sizes: dict[str, int] = {}
    with ExitStack() as stack:
        reader = stack.enter_context(SpillReader())
        out = _Out(job, shard, stack)
        for (_, name), group in itertools.groupby(files, key=lambda file: (file.place, file.repository)):
            members = list(group)
            about = [file.about for file in members]
            ordered = order_repository(name, about, lambda i, members=members: _content(reader, members[i]), config)
            for index in ordered.order:
                tick(-1, out.written)
                out.write(*members[index].parts(reader))
            repositories += 1
            kinds[ordered.kind] = kinds.get(ordered.kind, 0) + 1
            imports += ordered.imports
            backward += ordered.backward
            size = str(1 << max(0, sum(one.bytes for one in about) - 1).bit_length())
            sizes[size] = sizes.get(size, 0) + 1
        out.finish()
        tick(-1, out.written)
    marker = {
        "repositories": repositories, "repository_sizes": sizes, "kinds": kinds, "imports": imports,
        "backward": backward, "cpu": cpu_seconds() - start,
    }  # fmt: skip
    write_json(job.done("order", shard), marker)  # last: it marks the shard as done


@dataclass(frozen=True, slots=True)
class _File:
    """A file in a spill."""

    place: int
    repository: str
    spill: Path
    line: tuple[int, int]
    """Offset and length in the spill."""
    spans: int
    """Length of the stored syntax behind it."""
    about: OrderFile

    def parts(self, reader: SpillReader) -> tuple[bytes, bytes]:
        """Line and stored syntax."""
        offset, size = self.line
        both = reader.read(self.spill, offset, size + self.spans)
        return both[:size], both[size:]


def _gathered(job: Job, shard: int) -> list[_File]:
    """The files of an output shard, repository by repository, in path order."""
    bounds = shard_bounds(shard, job.shards("order"))
    found: list[_File] = []
    with SpillReader() as reader:
        for number in range(job.shards("clean")):
            spill = job.at("clean", number, "spill")
            for place, offset, about, line, spans in entries_between(
                job.at("clean", number, "index"), *bounds
            ).tolist():
                repository, *known = json.loads(reader.read(spill, offset, about))
                found.append(_File(place, repository, spill, (offset + about, line), spans, _about(*known)))
    found.sort(key=lambda file: (file.place, file.repository, file.about.path))  # stable: equal paths stay
    return found


def _about(path: str, language: str, size: int, imports: list[str]) -> OrderFile:
    return OrderFile(path, language, size, tuple(imports))


def _content(reader: SpillReader, file: _File) -> bytes:
    return json.loads(file.parts(reader)[0])["text"].encode()


class _Out:
    """The files of a shard."""

    def __init__(self, job: Job, shard: int, stack: ExitStack) -> None:
        def opened(kind: str) -> Any:
            return stack.enter_context(atomic_write(job.folder / "order" / shard_name(shard, kind), "wb"))

        self._lines, self._spans, self._index = (opened(kind) for kind in ("jsonl", "spans", "index.npy"))
        self._rows: list[tuple[int, int, int]] = []
        self.written = 0
        self._spanned = 0

    def write(self, line: bytes, spans: bytes) -> None:
        self._rows.append((self.written, self._spanned, len(spans)))
        self._lines.write(line)
        self._spans.write(spans)
        self.written += len(line)
        self._spanned += len(spans)

    def finish(self) -> None:
        np.save(self._index, np.array(self._rows, INDEX))
