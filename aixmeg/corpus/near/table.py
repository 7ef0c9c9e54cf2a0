"""The columns by which documents are ordered and grouped, mapped from files: they need not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.corpus.near.shards import Shards, name_hash
from aixmeg.errors import UserError

_COLUMNS: Final = {"repository": "<u4", "order": "<u8", "path": "<u8", "name": "<u8", "bytes": "<u4"}
_LARGEST: Final = (1 << 32) - 1
ABSENT: Final = _LARGEST
"""In `repository`: its repository is not among the ranked ones, so the document takes no part."""


class Table:
    """One row per document of all shards.

    The total order in which one of two documents is the better one: the repository's rank, then the larger file, then
    the path's hash. It depends on names and contents alone, never on shards or on who scanned them.
    """

    def __init__(self, shards: Shards, repositories: Sequence[str], folder: Path) -> None:
        """`repositories`: those that take part, the best first; what is not among them is left out.

        Raises:
            UserError: a repository stands there twice.
        """
        self.count = shards.count
        self.repositories = len(repositories)
        folder.mkdir(parents=True, exist_ok=True)
        self._columns = {name: self._column(folder / name, kind) for name, kind in _COLUMNS.items()}
        hashes = np.fromiter(map(name_hash, repositories), np.uint64, len(repositories))
        by_hash = np.argsort(hashes)
        hashes = hashes[by_hash]
        if (hashes[1:] == hashes[:-1]).any():
            twice = next(name for name in repositories if list(repositories).count(name) > 1)
            raise UserError(f"repository {twice!r} is ranked twice; give each repository one name and one rank")
        self.repository_bytes = np.zeros(len(repositories), np.uint64)
        for shard, start in enumerate(shards.starts[:-1]):
            self._fill(shards.documents(shard), int(start), hashes, by_hash)

    def _column(self, path: Path, kind: str) -> np.ndarray:
        if self.count == 0:
            return np.empty(0, kind)
        return np.memmap(path, dtype=kind, mode="w+", shape=(self.count,))

    def _fill(self, records: np.ndarray, start: int, hashes: np.ndarray, ranks: np.ndarray) -> None:
        rows = slice(start, start + len(records))
        rank = np.full(len(records), ABSENT, np.uint64)
        if len(hashes):
            at = np.minimum(np.searchsorted(hashes, records["repository"]), len(hashes) - 1)
            known = hashes[at] == records["repository"]
            rank[known] = ranks[at[known]]
            np.add.at(self.repository_bytes, rank[known], records["bytes"][known])
        size = np.minimum(records["bytes"], _LARGEST)
        self._columns["repository"][rows] = rank
        self._columns["order"][rows] = rank << np.uint64(32) | (np.uint64(_LARGEST) - size)
        self._columns["path"][rows] = records["path"]
        self._columns["name"][rows] = records["name"]
        self._columns["bytes"][rows] = size

    def __getitem__(self, column: str) -> np.ndarray:
        return self._columns[column]

    def keys(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For `np.lexsort`: least significant first."""
        return self["path"][documents], self["order"][documents]
