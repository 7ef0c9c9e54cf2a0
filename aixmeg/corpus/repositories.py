"""What is known of each repository, put together from all inputs, and which repositories are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from aixmeg.config import CorpusConfig
from aixmeg.corpus.job import Job
from aixmeg.corpus.rows import repository_key
from aixmeg.files import atomic_write, read_jsonl

_PER_PARTITION: Final = 1 << 18
"""Repositories that are put together at once."""


@dataclass(frozen=True)
class Repositories:
    """Columns by repository, in the order of their keys; m repositories."""

    key: np.ndarray
    """`repository_key` of the name: uint64 [m], ascending."""
    reason: np.ndarray
    """Why it is dropped, an index in the decision's list of reasons; 0 keeps it: uint8 [m]."""
    worse: np.ndarray
    """Number of repositories ranked before it: uint32 [m]. Of two copies of a file that of the lower number is kept."""

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """The row of each key."""
        unique, inverse = np.unique(keys, return_inverse=True)
        return np.searchsorted(self.key, unique)[inverse]

    def ranked(self, job: Job) -> list[str]:
        """Names of the kept repositories, the best first; of equal rank in the order of their names."""
        names = [record["repository"] for record in read_jsonl(job.folder / "decide" / "repositories")]
        kept = np.flatnonzero(self.reason == 0).tolist()
        return [names[row] for row in sorted(kept, key=lambda row: (self.worse[row], names[row]))]


def gather(job: Job) -> Path:
    """scan/*.repositories → decide/repositories: a JSON line per repository, in the order of their keys."""
    path = job.folder / "decide" / "repositories"
    with atomic_write(path, "wb") as out:
        for lines in _partitioned(job):
            known: dict[int, dict[str, Any]] = {}
            for key, record in lines:
                _merge(known.setdefault(key, {"files": 0, "bytes": 0}), record)
            for key in sorted(known):
                out.write(json.dumps({"key": key} | known[key]).encode() + b"\n")
    return path


def _partitioned(job: Job) -> Iterator[Iterator[tuple[int, dict[str, Any]]]]:
    inputs = [job.at("scan", number, "repositories") for number in range(job.shards("scan"))]
    estimate = sum(path.stat().st_size for path in inputs) // 64  # a line is longer than that
    bits = (estimate // _PER_PARTITION).bit_length()

    def records() -> Iterator[tuple[int, dict[str, Any]]]:
        for path in inputs:
            for record in read_jsonl(path):
                yield repository_key(record["repository"]), record

    if not bits:
        yield records()
        return
    paths = [job.folder / "decide" / f"repositories-{number:05d}" for number in range(1 << bits)]
    files: list[IO[bytes]] = [path.open("wb") for path in paths]
    for key, record in records():
        files[key >> (64 - bits)].write(json.dumps(record).encode() + b"\n")
    for file in files:
        file.close()
    for path in paths:
        yield ((repository_key(record["repository"]), record) for record in read_jsonl(path))
        path.unlink()


def _merge(known: dict[str, Any], record: dict[str, Any]) -> None:
    known.setdefault("repository", record["repository"])
    known["files"] += record["files"]
    known["bytes"] += record["bytes"]
    for name, value in record.get("signals", {}).items():
        signals = known.setdefault("signals", {})
        signals[name] = max(value, signals.get(name, value))


def judge(path: Path, config: CorpusConfig, reasons: list[str]) -> Repositories:
    """Decide which repositories are kept, and their rank."""
    count = sum(1 for _ in path.open("rb"))
    key = np.zeros(count, np.uint64)
    for row, record in enumerate(read_jsonl(path)):
        key[row] = record["key"]
    return Repositories(key, np.zeros(count, np.uint8), np.zeros(count, np.uint32))
