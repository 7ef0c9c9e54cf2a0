"""Which files are duplicates: equal ones, similar ones, and those of whole repositories that are alike.

Files are dropped greedily in the total order of `Table`: a file is dropped when it is similar to one that is *kept*.
Union-find over the same pairs would chain: of A ~ B ~ C it keeps A alone, though C may share little with A. Here C
stays, and every dropped file has a verified, kept counterpart.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.near.bands import choose_bands
from aixmeg.corpus.near.exact import Groups, run_starts
from aixmeg.corpus.near.pairs import BUCKET, PAIR, Pairs
from aixmeg.corpus.near.repositories import HOLDERS, NOTHING, Holders, Matches, RepositoryPair
from aixmeg.corpus.near.shards import Shards
from aixmeg.corpus.near.sketch import drop_in_order
from aixmeg.corpus.near.spill import Spill
from aixmeg.corpus.near.table import ABSENT, Table
from aixmeg.files import atomic_write

KEPT: Final = 0
OUTCOMES: Final = ("", "exact_duplicate", "near_duplicate", "repository_duplicate", "unranked")
"""By `outcome`: 0 is kept; "unranked" is a file of a repository that was not among the ranked ones."""
_EXACT, _NEAR, _REPOSITORY, _UNRANKED = 1, 2, 3, 4
VERDICT: Final = np.dtype([("outcome", "u1"), ("because", "<u4")])
"""`because`: number of the file that is kept instead, over all shards in their order; 4,294,967,295 for none, as of a
kept file, and of one whose whole repository is dropped."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """The verdicts, and what the report says of them."""

    verdicts: tuple[Path, ...]
    """Per shard, a .npy file of VERDICT, in the order of its records."""
    repositories: dict[str, tuple[str, float]]
    """Dropped repository → the kept one, and the share of bytes in which they match."""
    summary: dict[str, Any]
    """Bands, what they find, candidates, counts by outcome."""


def verdicts_file(shard: Path) -> Path:
    """The verdicts of a shard."""
    return shard.with_name(f"{shard.name}.verdicts.npy")


def find_duplicates(shards: Sequence[Path], repositories: Sequence[str], config: NearConfig, work: Path) -> Duplicates:
    """Decide over the shards that `Sketches` wrote; writes `SHARD.verdicts.npy` beside each.

    `repositories`: names, the best first; files of others take no part. `work` is an empty or absent folder for what
    does not fit in memory, removed at the end. The verdicts depend on the names, the contents and the ranks, not on how
    the files are spread over shards or in which order the shards stand.

    Memory: `config.memory_bytes` for sorting, some 40 bytes per repository, 9 bytes per file, 36 per content that
    several files have; a further 28 bytes per file are mapped from `work`. Disk: 12 bytes per file and band.

    Raises:
        UserError: a shard's files are missing or do not fit; the disk is full.
    """
    mapped = Shards(shards, config.permutations)
    try:
        table = Table(mapped, repositories, work / "table")
        decision = _Decision(mapped, table, config, work)
        dropped = decision.run()
        paths = tuple(decision.write(shard, number) for number, shard in enumerate(shards))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    kept_of = {repositories[pair.dropped]: (repositories[pair.kept], round(pair.share, 4)) for pair in dropped}
    return Duplicates(verdicts=paths, repositories=kept_of, summary=decision.summary())


class _Decision:
    """The phases of `find_duplicates`, and the arrays they share."""

    def __init__(self, shards: Shards, table: Table, config: NearConfig, work: Path) -> None:
        self._shards, self._table, self._config, self._work = shards, table, config, work
        self._bands = choose_bands(config)
        self._pairs = Pairs(shards, table, self._bands, config, work)
        self._outcome = np.zeros(table.count, np.uint8)
        self._because = np.full(table.count, NOTHING, np.uint32)
        # Of each document the one that stands for its content: the best, later the best that is not yet dropped.
        self._content_of = np.arange(table.count, dtype=np.uint32)

    def run(self) -> list[RepositoryPair]:
        """Decide; returns the dropped repositories."""
        memory = self._config.memory_bytes // 2
        with (
            Groups(self._shards, self._table, self._work / "digests", memory) as groups,
            Matches(self._table, self._work / "matches", memory) as matches,
            Spill(self._work / "similar", PAIR, expected=self._table.count, memory=memory) as similar,
        ):
            # Who is equal or similar to whom.
            holders = Holders()
            for documents, starts in groups:
                self._content_of[documents] = documents[starts]
                holders.add(documents, starts)
                matches.add_group(documents, starts)
            holders.finish()
            for pairs in self._pairs.find(self._content_of):
                similar.add(pairs, similar.share_out(pairs["worse"], self._table.count))
                left, right = holders.of(pairs["better"]), holders.of(pairs["worse"])
                for i in range(HOLDERS):
                    for j in range(HOLDERS):
                        matches.add(left[:, i], right[:, j])
            # Whole repositories first: what only they hold must not speak against the files of others.
            dropped = matches.duplicates(self._config.repository_threshold)
            self._drop_repositories([pair.dropped for pair in dropped])
            self._drop_equal(groups)
            self._drop_similar(similar)
        return dropped

    def _drop_repositories(self, ranks: list[int]) -> None:
        marked = np.zeros(self._table.repositories, bool)
        marked[ranks] = True
        for start, stop in itertools.pairwise(self._shards.starts):
            repository = self._table["repository"][start:stop]
            outcome = self._outcome[start:stop]
            ranked = repository != ABSENT
            outcome[~ranked] = _UNRANKED
            outcome[ranked] = np.where(marked[repository[ranked]], _REPOSITORY, KEPT)

    def _drop_equal(self, groups: Groups) -> None:
        for members, firsts in groups:
            alive = np.flatnonzero(self._outcome[members] == KEPT)
            documents, starts, contents = members[alive], firsts[alive], members[firsts[alive]]
            begins = np.ones(len(documents), bool)
            begins[1:] = starts[1:] != starts[:-1]
            best = documents[run_starts(begins)]
            self._content_of[contents] = best
            others = documents != best
            self._outcome[documents[others]] = _EXACT
            self._because[documents[others]] = best[others]

    def _drop_similar(self, similar: Spill) -> None:
        order, path, repository = self._table["order"], self._table["path"], self._table["repository"]
        memory, ranks = self._config.memory_bytes // 2, self._table.repositories
        with Spill(self._work / "ordered", PAIR, expected=similar.count, memory=memory) as ordered:
            for rows in similar:
                a, b = self._content_of[rows["better"]], self._content_of[rows["worse"]]
                both = (self._outcome[a] == KEPT) & (self._outcome[b] == KEPT)
                a, b = a[both], b[both]
                swap = (order[a] > order[b]) | ((order[a] == order[b]) & (path[a] > path[b]))
                pairs = np.empty(len(a), PAIR)
                pairs["better"], pairs["worse"] = np.where(swap, b, a), np.where(swap, a, b)
                ordered.add(pairs, ordered.share_out(repository[pairs["worse"]], ranks))
            for rows in ordered:
                by_worse = np.lexsort((*self._table.keys(rows["better"]), *self._table.keys(rows["worse"])))
                better, worse = rows["better"][by_worse], rows["worse"][by_worse]
                drop_in_order(better, worse, _NEAR, self._outcome, self._because)

    def write(self, shard: Path, number: int) -> Path:
        """Write the verdicts of a shard."""
        rows = slice(*self._shards.starts[number : number + 2])
        verdicts = np.empty(rows.stop - rows.start, VERDICT)
        verdicts["outcome"], because = self._outcome[rows], self._because[rows].copy()
        # The equal file that was kept at first may have been dropped as similar to another.
        equal = np.flatnonzero(verdicts["outcome"] == _EXACT)
        moved = equal[self._outcome[because[equal]] == _NEAR]
        because[moved] = self._because[because[moved]]
        verdicts["because"] = because
        path = verdicts_file(shard)
        with atomic_write(path, "wb") as file:
            np.save(file, verdicts, allow_pickle=False)
        return path

    def summary(self) -> dict[str, Any]:
        """What the report shows."""
        counts = np.bincount(self._outcome, minlength=len(OUTCOMES))
        sizes = np.unique(self._because[self._outcome == _NEAR], return_counts=True)[1]
        return {
            "threshold": self._config.threshold,
            "permutations": self._config.permutations,
            **asdict(self._bands),
            "documents": self._table.count,
            "candidate_pairs": self._pairs.candidates,
            "verified_pairs": self._pairs.verified,
            f"behind_{BUCKET}_in_a_band": self._pairs.crowded,
            "clusters": len(sizes),
            "largest_cluster": int(sizes.max(initial=0)) + 1 if len(sizes) else 0,
            "outcomes": {name or "kept": int(count) for name, count in zip(OUTCOMES, counts, strict=True)},
        }
