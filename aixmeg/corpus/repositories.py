"""What is known of each repository: collected in the scan, put together from all inputs, looked up by key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.licence import Evidence, LicenceReport, Policy, RepositoryLicences
from aixmeg.corpus.rank import add_file, merge
from aixmeg.corpus.rows import open_rows, repository_key
from aixmeg.corpus.sources import RawDocument
from aixmeg.corpus.tally import cpu_seconds
from aixmeg.files import atomic_write, read_jsonl, write_json

PLACE: Final = np.dtype([("key", "<u8"), ("line", "<u8")])
"""Of a repository: its key, and where its line begins."""
_PER_PARTITION: Final = 1 << 18
"""Repositories that are put together at once."""


@dataclass
class Known:
    """What is known of one repository."""

    files: int = 0
    """Kept so far."""
    bytes: int = 0
    signals: dict[str, float] | None = None
    licences: RepositoryLicences | None = None


class KnownRepositories:
    """The repositories of one input."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def kept(self, raw: RawDocument) -> None:
        """Note a file that is kept so far."""
        known = self._of(raw)
        known.files += 1
        known.bytes += raw.size
        self.dropped(raw)

    def dropped(self, raw: RawDocument) -> None:
        """Note a file that is not."""
        known = self._of(raw)
        known.signals = {} if known.signals is None else known.signals
        add_file(known.signals, raw)

    def says(self, raw: RawDocument, evidence: Evidence) -> None:
        """Note what a file says of licences."""
        if evidence.of_folder:
            known = self._of(raw)
            known.licences = known.licences or RepositoryLicences()
            known.licences.add(raw.path, evidence)

    def write(self, path: Path, signals: Mapping[str, Mapping[str, float]]) -> None:
        """Write a JSON line each, with the signals that the source gives."""
        for name, more in signals.items():
            known = self._known.setdefault(name, Known())
            known.signals = {} if known.signals is None else known.signals
            merge(known.signals, more)
        with atomic_write(path, "wb") as out:
            for name, known in self._known.items():
                out.write(_line(name, known))

    def _of(self, raw: RawDocument) -> Known:
        return self._known.setdefault(raw.repository, Known())


def _line(name: str, known: Known) -> bytes:
    licences = {} if known.licences is None else known.licences.to_json()
    return json.dumps([name, known.files, known.bytes, known.signals or {}, licences]).encode() + b"\n"


def gather(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """scan/*.repositories → gather/*: a line per repository in the order of their keys, and where each begins."""
    start = cpu_seconds()
    job = Job(folder)
    config = job.config()
    policy, report = Policy(config.licence), LicenceReport()
    places: list[tuple[int, int]] = []
    place = 0
    with atomic_write(job.at("gather", 0, "lines"), "wb") as out:
        for records in _partitioned(job):
            known: dict[int, tuple[str, Known]] = {}
            for key, (name, files, size, signals, licences) in records:
                one = known.setdefault(key, (name, Known(signals={}, licences=RepositoryLicences())))[1]
                assert one.signals is not None and one.licences is not None
                one.files += files
                one.bytes += size
                merge(one.signals, signals)
                one.licences.merge(RepositoryLicences.from_json(licences))
            for key in sorted(known):
                name, one = known[key]
                if config.licence.enabled and one.files and one.licences is not None:
                    report.add_repository(one.licences.whole(policy))
                line = _line(name, one)
                places.append((key, place))
                place += len(line)
                out.write(line)
    with atomic_write(job.at("gather", 0, "places"), "wb") as out:
        out.write(np.array(places, PLACE).tobytes())
    marker = {"repositories": len(places), "licences": report.to_json(), "cpu": cpu_seconds() - start}
    write_json(job.done("gather", 0), marker)  # last: it marks the phase as done


def _partitioned(job: Job) -> Iterator[Iterator[tuple[int, list[Any]]]]:
    """The records of all inputs with their keys, in parts that fit into memory, ascending by key from part to part."""
    inputs = [job.at("scan", number, "repositories") for number in range(job.shards("scan"))]
    estimate = sum(path.stat().st_size for path in inputs) // 64  # a line is about that long
    bits = (estimate // _PER_PARTITION).bit_length()

    def records() -> Iterator[tuple[int, list[Any]]]:
        for path in inputs:
            for record in read_jsonl(path):
                yield repository_key(record[0]), record

    if not bits:
        yield records()
        return
    paths = [job.at("gather", number, "part") for number in range(1 << bits)]
    files: list[IO[bytes]] = []
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.append(path.open("wb"))
    for key, record in records():
        files[key >> (64 - bits)].write(json.dumps(record).encode() + b"\n")
    for file in files:
        file.close()
    for path in paths:
        yield ((repository_key(record[0]), record) for record in read_jsonl(path))
        path.unlink()


class Gathered:
    """The gathered repositories, m of them, mapped into memory."""

    def __init__(self, job: Job) -> None:
        self._lines = job.at("gather", 0, "lines")
        self._places = open_rows(job.at("gather", 0, "places"), PLACE)
        self.key = np.ascontiguousarray(self._places["key"])
        """`repository_key` of the names: uint64 [m], ascending."""

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """The row of each key."""
        unique, inverse = np.unique(keys, return_inverse=True)
        return np.searchsorted(self.key, unique)[inverse]

    def licences(self, keys: list[int]) -> dict[int, RepositoryLicences]:
        """What the repositories of a few keys say."""
        found = {}
        with self._lines.open("rb") as lines:
            for key, row in zip(keys, self.rows(np.array(keys, np.uint64)).tolist(), strict=True):
                lines.seek(int(self._places["line"][row]))
                found[key] = RepositoryLicences.from_json(json.loads(lines.readline())[4])
        return found

    def __iter__(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Name and signals of each, in the order of their rows."""
        for name, _, _, signals, _ in read_jsonl(self._lines):
            yield name, signals
