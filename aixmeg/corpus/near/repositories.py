"""Repositories that are versions or forks of each other.

A file of repository A is matched in B when B holds an equal or similar file of the same name. A and B are duplicates
when the matched bytes reach the threshold in both: a repository that holds a library among its own files does not equal
that library, and two that hold the same library do not equal each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.corpus.near.spill import Spill
from aixmeg.corpus.near.table import Table

HOLDERS: Final = 8
"""A file's match is looked for in the best repositories that hold one, at most so many."""
_MATCH: Final = np.dtype([("repository", "<u4"), ("other", "<u4"), ("document", "<u4")])
NOTHING: Final = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True)
class RepositoryPair:
    """Two repositories that are alike, by rank."""

    kept: int
    dropped: int
    share: float
    """Matched bytes of the one that is matched less, over all of its bytes."""


class Holders:
    """Of each content that several documents have: the best of them."""

    def __init__(self) -> None:
        self._contents: list[np.ndarray] = []
        self._documents: list[np.ndarray] = []

    def add(self, documents: np.ndarray, starts: np.ndarray) -> None:
        """One batch of `Groups`."""
        place = np.arange(len(documents)) - starts
        few = place < HOLDERS
        rows = np.full((int((place == 0).sum()), HOLDERS), NOTHING, np.uint32)
        rows[np.cumsum(place == 0)[few] - 1, place[few]] = documents[few]
        self._contents.append(documents[place == 0])
        self._documents.append(rows)

    def finish(self) -> None:
        """Make it ready for `of`."""
        contents = np.concatenate([np.empty(0, np.uint32), *self._contents])
        rows = np.concatenate([np.empty((0, HOLDERS), np.uint32), *self._documents])
        order = np.argsort(contents)
        self._sorted, self._rows = contents[order], rows[order]

    def of(self, contents: np.ndarray) -> np.ndarray:
        """Documents that have these contents: [n] to uint32 [n, HOLDERS], `NOTHING` where there are fewer."""
        found = np.full((len(contents), HOLDERS), NOTHING, np.uint32)
        found[:, 0] = contents
        if len(self._sorted):
            at = np.minimum(np.searchsorted(self._sorted, contents), len(self._sorted) - 1)
            known = self._sorted[at] == contents
            found[known] = self._rows[at[known]]
        return found


class Matches:
    """Collects which file is matched in which other repository, and says which repositories are duplicates."""

    def __init__(self, table: Table, folder: Path, memory: int) -> None:
        self._table = table
        self._spill = Spill(folder, _MATCH, expected=2 * table.count, memory=memory)

    def __enter__(self) -> Matches:
        return self

    def __exit__(self, *error: object) -> None:
        self._spill.__exit__(None, None, None)

    def add(self, left: np.ndarray, right: np.ndarray) -> None:
        """Pairs of documents that are equal or similar."""
        there = (left != NOTHING) & (right != NOTHING)
        left, right = left[there], right[there]
        if not len(left):
            return
        repository, name = self._table["repository"], self._table["name"]
        counts = (repository[left] != repository[right]) & (name[left] == name[right])
        left, right = left[counts], right[counts]
        rows = np.empty(2 * len(left), _MATCH)
        rows["document"] = np.concatenate((left, right))
        rows["repository"] = repository[rows["document"]]
        rows["other"] = repository[np.concatenate((right, left))]
        low = np.minimum(rows["repository"], rows["other"]).astype(np.uint64)  # both directions meet in one partition
        high = np.maximum(rows["repository"], rows["other"]).astype(np.uint64)
        self._spill.add(rows, self._spill.by_hash((low << np.uint64(32) | high) * np.uint64(0x9E3779B97F4A7C15)))

    def add_group(self, documents: np.ndarray, starts: np.ndarray) -> None:
        """Documents of equal content: each with the best ones of its group."""
        place = np.arange(len(documents)) - starts
        members = np.arange(len(documents))
        for partner in range(HOLDERS):
            members = members[place[members] > partner]
            self.add(documents[starts[members] + partner], documents[members])

    def duplicates(self, threshold: float) -> list[RepositoryPair]:
        """Go through the repositories from the best: one is dropped when it is alike to one that is kept."""
        pairs = sorted(self._alike(threshold), key=lambda pair: (pair.dropped, pair.kept))
        found: dict[int, RepositoryPair] = {}
        for pair in pairs:
            if pair.kept not in found:
                found.setdefault(pair.dropped, pair)
        return list(found.values())

    def _alike(self, threshold: float) -> Iterator[RepositoryPair]:
        for partition in self._spill:
            if not len(partition):
                continue
            key = partition["repository"].astype(np.uint64) << np.uint64(32) | partition["other"]
            order = np.lexsort((partition["document"], key))
            key, documents = key[order], partition["document"][order]
            # A file may have several matches in one repository.
            once = np.concatenate(([True], (key[1:] != key[:-1]) | (documents[1:] != documents[:-1])))
            key, documents = key[once], documents[once]
            begins = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
            matched = np.add.reduceat(self._table["bytes"][documents].astype(np.uint64), begins)
            first, other = key[begins] >> np.uint64(32), key[begins] & np.uint64(NOTHING)
            share = matched / np.maximum(1, self._table.repository_bytes[first])
            shares = {(int(a), int(b)): float(s) for a, b, s in zip(first, other, share, strict=True) if s >= threshold}
            for (a, b), there in shares.items():
                if a < b and (b, a) in shares:
                    yield RepositoryPair(kept=a, dropped=b, share=min(there, shares[b, a]))
