"""Groups of documents with equal contents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.corpus.near.shards import Shards
from aixmeg.corpus.near.spill import Spill
from aixmeg.corpus.near.table import ABSENT, Table

_ROW: Final = np.dtype([("digest", "<u8", (2,)), ("document", "<u4")])


class Groups:
    """Every set of two or more documents of one content.

    Iterating gives pairs of arrays: documents, the best one of each group first and the others in their order behind
    it; and where in them each document's group starts.
    """

    def __init__(self, shards: Shards, table: Table, folder: Path, memory: int) -> None:
        self._table = table
        self._spill = Spill(folder, _ROW, expected=shards.count, memory=memory)
        for shard, start in enumerate(shards.starts[:-1]):
            records = shards.documents(shard)
            rows = np.empty(len(records), _ROW)
            rows["digest"] = records["digest"]
            rows["document"] = np.arange(start, start + len(records))
            rows = rows[table["repository"][start : start + len(records)] != ABSENT]
            self._spill.add(rows, self._spill.by_hash(rows["digest"][:, 0]))

    def __enter__(self) -> Groups:
        return self

    def __exit__(self, *error: object) -> None:
        self._spill.__exit__(None, None, None)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for partition in self._spill:
            first = partition["digest"][:, 0]
            order = np.argsort(first)
            rows = partition[order[repeated(first[order])]]
            digest, documents = rows["digest"], rows["document"]
            order = np.lexsort((*self._table.keys(documents), digest[:, 1], digest[:, 0]))
            digest, documents = digest[order], documents[order]
            begins = np.ones(len(documents), bool)
            begins[1:] = (digest[1:] != digest[:-1]).any(axis=1)
            yield documents, run_starts(begins)


def repeated(values: np.ndarray) -> np.ndarray:
    """Whether each of sorted values stands there more than once."""
    equal = values[1:] == values[:-1]
    found = np.zeros(len(values), bool)
    found[1:] |= equal
    found[:-1] |= equal
    return found


def run_starts(begins: np.ndarray) -> np.ndarray:
    """Where the run of each element starts, from marks at the first elements: bool [n] to int64 [n]."""
    return np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
