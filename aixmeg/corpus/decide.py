"""Phase 4, once: which of the scanned files are kept. Everything known of a file lies in files; memory does not grow.

A byte per file says what was decided of it: 0 keeps it, others count from 1 in the list of `REASONS`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.config import CorpusConfig
from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.judge import LICENCE_REASONS
from aixmeg.corpus.rank import rank
from aixmeg.corpus.rank_metadata import read_metadata
from aixmeg.corpus.repositories import Gathered
from aixmeg.corpus.rows import ROW, Partitions, mixed, open_rows
from aixmeg.corpus.scan import NearPieces
from aixmeg.corpus.tally import EXAMPLES, Count, Tally, cpu_seconds
from aixmeg.files import write_error, write_json

REASONS: Final = (
    *(("licence", reason) for reason in LICENCE_REASONS),
    ("rank", "low_rank"),
    ("near", "repository_duplicate"),
    ("exact", "exact_duplicate"),
    ("near", "near_duplicate"),
    ("budget", "over_repository_budget"),
)
"""Step and reason of each decision, counted from 1."""
_CODE: Final = {reason: code for code, (_, reason) in enumerate(REASONS, 1)}

SHARD_BYTES: Final = 16 << 20
"""Source bytes of an output shard, on average: a worker's second or two."""
MOST_SHARDS: Final = 1024
"""A corpus of more than 16 GB has longer shards, since each of them reads a piece of every spill."""
FILES_IN_MEMORY: Final = 1 << 20
"""Files whose digests are compared at once."""
_REPOSITORIES_SHOWN: Final = 200
_NOBODY: Final = 0
"""In the place of a repository's hash."""
_COPY: Final = np.dtype([("digest", "<u8", 2), ("worse", "<u4"), ("file", "<u8")])
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


class Files:
    """The scanned files of all inputs, numbered in input order, with the decision on each."""

    def __init__(self, job: Job) -> None:
        self._job = job
        counts = [job.at("scan", shard, "rows").stat().st_size // ROW.itemsize for shard in range(job.shards("scan"))]
        self.bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype("<u8")
        """Number of the first file of each input, and of all."""
        self.count = int(self.bounds[-1])
        decide = job.folder / "decide"
        decide.mkdir(exist_ok=True)
        (decide / "bounds").write_bytes(self.bounds.tobytes())
        self._path = decide / "decisions"
        self._path.write_bytes(b"")
        with self._path.open("r+b") as file:
            file.truncate(self.count)
        self.decisions = np.memmap(self._path, np.uint8, mode="r+") if self.count else np.zeros(0, np.uint8)
        """0 keeps a file: uint8 [count]."""

    def partitions(self, name: str, dtype: np.dtype[Any]) -> Partitions:
        """Partitions of all files, each of which fits into memory."""
        return Partitions(self._job.folder / "decide" / name, -(-self.count // FILES_IN_MEMORY), dtype)

    def shards(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Of each input: the number of its first file, rows, decisions."""
        for shard in range(len(self.bounds) - 1):
            first, behind = int(self.bounds[shard]), int(self.bounds[shard + 1])
            if behind > first:
                yield first, open_rows(self._job.at("scan", shard, "rows")), self.decisions[first:behind]

    def close(self) -> None:
        """Write the decisions."""
        if isinstance(self.decisions, np.memmap):
            self.decisions.flush()


@dataclass(frozen=True)
class Ranked:
    """The repositories, m of them, by row of `Gathered`."""

    gathered: Gathered
    names: list[str]
    worse: np.ndarray
    """Number of repositories ranked before it, of those that have files; others come last: uint32 [m]. Of two copies of
    a file that of the lower number is kept."""
    takes_part: np.ndarray
    """Whether it has files that are kept so far: bool [m]."""

    def worse_of(self, keys: np.ndarray) -> np.ndarray:
        """`worse` by key."""
        return self.worse[self.gathered.rows(keys)]

    def best_first(self) -> list[str]:
        """Names of the repositories that take part."""
        rows = np.flatnonzero(self.takes_part)
        return [self.names[row] for row in rows[np.argsort(self.worse[rows], kind="stable")].tolist()]


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
            decisions[(decisions == 0) & low[gathered.rows(one["repository"])]] = _CODE["low_rank"]
    return Ranked(gathered, names, worse, left & ~low), ranking.report


def drop_similar(job: Job, files: Files, repositories: Ranked) -> dict[str, Any]:
    """Drop equal and similar files, and repositories that are alike.

    Returns:
        What the report says of them.
    """
    from aixmeg.corpus.near import OUTCOMES, VERDICT, find_duplicates

    work = job.folder / "decide" / "near"
    pieces = [_taking_part(files, first, piece, work / f"{number:05d}")
              for number, (first, piece) in enumerate(_pieces(job, files))]  # fmt: skip
    found = find_duplicates(pieces, repositories.best_first(), job.config().near, work / "sorting")
    codes = np.array([_CODE.get(outcome, 0) for outcome in OUTCOMES], np.uint8)
    first = 0
    for path in found.verdicts:
        verdicts = np.load(path, allow_pickle=False).astype(VERDICT, copy=False)
        decisions = files.decisions[first : first + len(verdicts)]
        np.copyto(decisions, codes[verdicts["outcome"]], where=decisions == 0)
        first += len(verdicts)
    pairs = sorted(found.repositories.items())
    shown = [{"dropped": one, "kept": kept, "share": share} for one, (kept, share) in pairs[:_REPOSITORIES_SHOWN]]
    return {"repositories": len(pairs), "repository_pairs": shown} | found.summary


def _pieces(job: Job, files: Files) -> Iterator[tuple[int, Path]]:
    """The signatures that the scan wrote, in pieces, with the number of each piece's first file."""
    for shard, (first, behind) in enumerate(itertools.pairwise(files.bounds.tolist())):
        for piece in range(-(-(behind - first) // NearPieces.FILES)):
            yield first + piece * NearPieces.FILES, NearPieces.path(job, shard, piece)


def _taking_part(files: Files, first: int, piece: Path, to: Path) -> Path:
    """A piece in which the files that are dropped already belong to no repository, so that they speak against none."""
    from aixmeg.corpus.near.shards import documents_file, signatures_file

    documents = np.load(documents_file(piece), allow_pickle=False)
    documents["repository"][files.decisions[first : first + len(documents)] != 0] = _NOBODY
    to.parent.mkdir(parents=True, exist_ok=True)
    with documents_file(to).open("wb") as file:
        np.save(file, documents, allow_pickle=False)
    signatures_file(to).unlink(missing_ok=True)
    signatures_file(to).symlink_to(signatures_file(piece).resolve())
    return to


def drop_exact(files: Files, repositories: Ranked) -> dict[str, Any]:
    """Of the files with one text, keep that of the best ranked repository; of several there, the first.

    Returns:
        Number of texts that were there more than once, and the largest number of copies.
    """
    parts = files.partitions("exact", _COPY)
    for first, rows, decisions in files.shards():
        kept = np.flatnonzero(decisions == 0)
        copies = np.empty(len(kept), _COPY)
        copies["digest"] = rows["digest"][kept]
        copies["worse"] = repositories.worse_of(rows["repository"][kept])
        copies["file"] = first + kept
        parts.add(copies, copies["digest"][:, 0])
    texts = most = 0
    for copies in parts.read():
        order = np.lexsort((copies["file"], copies["worse"], copies["digest"][:, 1], copies["digest"][:, 0]))
        digest = copies["digest"][order]
        again = np.concatenate([[False], (digest[1:] == digest[:-1]).all(axis=1)])[: len(order)]
        files.decisions[copies["file"][order[again]]] = _CODE["exact_duplicate"]
        sizes = np.diff(np.flatnonzero(np.concatenate([~again, [True]])))
        texts += int((sizes > 1).sum())
        most = max(most, int(sizes.max(initial=0)))
    parts.remove()
    return {"texts": texts, "most_copies": most}


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
    files.decisions[over] = _CODE["over_repository_budget"]


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
    (job.folder / "decide" / "kept").write_bytes(weights.tobytes())
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
