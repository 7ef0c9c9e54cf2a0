"""Phase 4, once: which of the scanned files are kept. What is known of each lies in files; memory does not grow."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.config import CorpusConfig
from aixmeg.corpus.decisions import CODE, REASONS, Files, Ranked
from aixmeg.corpus.duplicates import drop_exact, drop_similar
from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.rank import rank
from aixmeg.corpus.rank_metadata import read_metadata
from aixmeg.corpus.repositories import Gathered
from aixmeg.corpus.rows import mixed, open_rows
from aixmeg.corpus.tally import EXAMPLES, Count, Tally, cpu_seconds
from aixmeg.files import atomic_write, write_error, write_json

SHARD_BYTES: Final = 16 << 20
"""Source bytes of an output shard, on average: a worker's second or two."""
MOST_SHARDS: Final = 1024
"""A corpus of more than 16 GB has longer shards, since each of them reads a piece of every spill."""
_SPENT: Final = np.dtype([("repository", "<u8"), ("file", "<u8"), ("size", "<u8")])


def decide(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """scan/* → decide/*: what was decided of each file, and the plan."""
    try:
        _decide(Job(folder))
    except OSError as error:
        raise write_error(folder / "decide", error) from error


def _decide(job: Job) -> None:
    start = cpu_seconds()
    config, files = job.config(), Files(job)
    take_judgements(job, files)
    repositories, ranking = drop_low_ranks(files, Gathered(job), config)
    duplicates = drop_similar(job, files, repositories) if config.near.enabled else drop_exact(files, repositories)
    if config.max_repository_bytes:
        drop_over_budget(files, config.max_repository_bytes)
    files.close()
    tally, kept = _counted(job, files)
    tally.spend("decide", cpu_seconds() - start)
    shards = max(1, min(MOST_SHARDS, -(-kept.bytes // SHARD_BYTES))) if kept.files else 0
    plan = {"shards": shards, "files": kept.files, "bytes": kept.bytes, "rank": ranking, "duplicates": duplicates,
            "tally": tally.to_json()}  # fmt: skip
    write_json(job.plan, plan)  # last: it marks the phase as done


def take_judgements(job: Job, files: Files) -> None:
    """Drop the files whose licence is not kept."""
    for shard in range(job.shards("judge")):
        first, behind = int(files.bounds[shard]), int(files.bounds[shard + 1])
        files.decisions[first:behind] = open_rows(job.at("judge", shard, "codes"), np.dtype("u1"))


def drop_low_ranks(files: Files, gathered: Gathered, config: CorpusConfig) -> tuple[Ranked, dict[str, Any]]:
    """Rank the repositories that have files left, and drop the lowest share.

    Returns:
        The ranks, and what the report says of them.
    """
    left = np.zeros(len(gathered.key), bool)
    for _, rows, decisions in files.shards():
        left[gathered.rows(rows["repository"][decisions == 0])] = True
    names: list[str] = []
    signals = {name: np.full(len(left), np.nan) for name in config.rank.signals}
    for row, (name, known) in enumerate(gathered):
        names.append(name)
        for signal, values in signals.items():
            values[row] = known.get(signal, np.nan)
    if config.rank.enabled and config.rank.metadata is not None:
        row_of = {name: row for row, name in enumerate(names)}
        for name, known in read_metadata(config.rank.metadata, row_of).items():
            for signal in signals.keys() & known.keys():
                signals[signal][row_of[name]] = known[signal]
    rows = np.flatnonzero(left)
    asked = {name: values[rows] for name, values in signals.items()} if config.rank.enabled else {}
    ranking = rank([names[row] for row in rows.tolist()], asked, config.rank)
    worse = np.full(len(left), len(left), np.uint32)
    worse[rows] = ranking.worse
    low = np.zeros(len(left), bool)
    low[rows[ranking.dropped]] = True
    if low.any():
        for _, one, decisions in files.shards():
            decisions[(decisions == 0) & low[gathered.rows(one["repository"])]] = CODE["low_rank"]
    return Ranked(gathered, names, worse, left & ~low), ranking.report


def drop_over_budget(files: Files, budget: int) -> None:
    """Of each repository, keep the first files that fit: one that does not leaves room for the next, smaller one.

    The budget counts what is kept so far; a file that a later step drops has used its part of it.
    """
    parts = files.partitions("budget", _SPENT)
    for first, rows, decisions in files.shards():
        kept = np.flatnonzero(decisions == 0)
        spent = np.empty(len(kept), _SPENT)
        spent["repository"], spent["size"] = rows["repository"][kept], rows["size"][kept]
        spent["file"] = first + kept
        parts.add(spent, spent["repository"])
    for part in parts.read():
        spent = part[np.argsort(part["repository"], kind="stable")]
        starts = np.flatnonzero(np.concatenate([[True], spent["repository"][1:] != spent["repository"][:-1]]))
        bounds = [*starts[: len(spent)].tolist(), len(spent)]
        for begin, end in itertools.pairwise(bounds):
            if spent["size"][begin:end].sum() > budget:
                _spend(files, spent[begin:end], budget)
    parts.remove()


def _spend(files: Files, spent: np.ndarray, budget: int) -> None:
    used, over = 0, []
    for file, size in zip(spent["file"].tolist(), spent["size"].tolist(), strict=True):
        if used + size > budget:
            over.append(file)
        else:
            used += size
    files.decisions[over] = CODE["over_repository_budget"]


def _counted(job: Job, files: Files) -> tuple[Tally, Count]:
    """Drops by reason with examples, and what is kept."""
    tally, kept = Tally(), Count()
    weights = np.zeros(len(files.bounds) - 1, "<u8")
    sample: dict[int, np.ndarray] = {}
    for first, rows, decisions in files.shards():
        number = np.bincount(decisions, minlength=len(REASONS) + 1)
        size = np.bincount(decisions, weights=rows["size"], minlength=len(REASONS) + 1)
        kept.add(int(number[0]), int(size[0]))
        weights[np.searchsorted(files.bounds, first, side="right") - 1] = size[0]
        for code in np.flatnonzero(number[1:]) + 1:
            step, reason = REASONS[code - 1]
            tally.dropped.setdefault(step, {}).setdefault(reason, Count()).add(int(number[code]), int(size[code]))
            found = np.concatenate(
                [sample.get(int(code), np.zeros(0, np.int64)), first + np.flatnonzero(decisions == code)]
            )
            sample[int(code)] = found[np.argsort(mixed(found), kind="stable")[:EXAMPLES]]
    with atomic_write(job.folder / "decide" / "kept", "wb") as out:
        out.write(weights.tobytes())
    labels = _labels(job, files, np.unique(np.concatenate([np.zeros(0, np.int64), *sample.values()])))
    for code, found in sample.items():
        for file in found.tolist():
            tally.example(REASONS[code - 1][1], labels[file])
    return tally, kept


def _labels(job: Job, files: Files, wanted: np.ndarray) -> dict[int, str]:
    """repository/path of a few files."""
    labels: dict[int, str] = {}
    shards = np.searchsorted(files.bounds, wanted, side="right") - 1
    for shard in np.unique(shards).tolist():
        numbers = set((wanted[shards == shard] - int(files.bounds[shard])).tolist())
        with job.at("scan", shard, "names").open("rb") as lines:
            for number, line in enumerate(lines):
                if number in numbers:
                    labels[int(files.bounds[shard]) + number] = "/".join(json.loads(line)[:2])
    return labels
