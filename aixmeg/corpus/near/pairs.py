"""Pairs of similar documents: candidates that share a band, verified by their whole signatures.

Verification compares estimates, not the files: reading them again would be a second pass over sources that have no
random access. The estimate is unbiased, and its standard error stands in the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.near.bands import Bands
from aixmeg.corpus.near.exact import repeated, run_starts
from aixmeg.corpus.near.shards import Shards
from aixmeg.corpus.near.sketch import agreements, band_hashes
from aixmeg.corpus.near.spill import Spill
from aixmeg.corpus.near.table import ABSENT, Table

BUCKET: Final = 64
"""A document is compared with the best ones of its band, at most so many: work grows with the corpus, not its square,
where thousands of files share a band."""
_ENTRY: Final = np.dtype([("hash", "<u8"), ("document", "<u4")])
PAIR: Final = np.dtype([("better", "<u4"), ("worse", "<u4")])
_CHUNK: Final = 8192


class Pairs:
    """Finds the pairs; the counters say what it took."""

    def __init__(self, shards: Shards, table: Table, bands: Bands, config: NearConfig, folder: Path) -> None:
        self._shards, self._table, self._bands, self._config, self._folder = shards, table, bands, config, folder
        self.candidates = 0
        """Different pairs that share a band."""
        self.verified = 0
        """Those at or above the threshold."""
        self.crowded = 0
        """Times that a document stood in a band behind more than `BUCKET` others."""

    def find(self, content_of: np.ndarray) -> Iterator[np.ndarray]:
        """Yield arrays of PAIR, each pair once. Only documents that are their own `content_of` take part."""
        memory = self._config.memory_bytes // 2  # two spills at a time
        entries = self._shards.count * self._bands.bands
        with (
            Spill(self._folder / "bands", _ENTRY, expected=entries, memory=memory) as spill,
            Spill(self._folder / "pairs", PAIR, expected=entries, memory=memory) as candidates,
        ):
            self._spill_bands(content_of, spill)
            for rows in spill:
                for pairs in self._meet(rows):
                    candidates.add(pairs, candidates.share_out(pairs["worse"], self._table.count))
            for rows in candidates:
                yield from self._verify(rows)

    def _spill_bands(self, content_of: np.ndarray, spill: Spill) -> None:
        for shard, start in enumerate(self._shards.starts[:-1]):
            records = self._shards.documents(shard)
            documents = np.arange(start, start + len(records))
            takes_part = (
                (content_of[documents] == documents)
                & (records["grams"] > 0)
                & (self._table["repository"][documents] != ABSENT)
            )
            documents = documents[takes_part]
            for at in range(0, len(documents), _CHUNK):
                chunk = documents[at : at + _CHUNK]
                hashes = band_hashes(self._shards.signatures(shard)[chunk - start], self._bands.bands, self._bands.rows)
                rows = np.empty(hashes.size, _ENTRY)
                rows["hash"] = hashes.ravel()
                rows["document"] = np.repeat(chunk, self._bands.bands)
                spill.add(rows, spill.by_hash(rows["hash"]))

    def _meet(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """The pairs of documents of equal hashes, better ones first."""
        hashes, documents = rows["hash"], rows["document"]
        order = np.argsort(hashes)
        order = order[repeated(hashes[order])]
        hashes, documents = hashes[order], documents[order]
        order = np.lexsort((*self._table.keys(documents), hashes))
        hashes, documents = hashes[order], documents[order]
        begins = np.ones(len(hashes), bool)
        begins[1:] = hashes[1:] != hashes[:-1]
        starts = run_starts(begins)
        place = np.arange(len(hashes)) - starts
        self.crowded += int((place > BUCKET).sum())
        members = np.arange(len(hashes))
        for partner in range(BUCKET):
            members = members[place[members] > partner]
            if len(members) == 0:
                return
            pairs = np.empty(len(members), PAIR)
            pairs["better"], pairs["worse"] = documents[starts[members] + partner], documents[members]
            yield pairs

    def _verify(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        unique = np.unique(rows.view("<u8"))  # the same pair shares several bands
        self.candidates += len(unique)
        rows = unique.view(PAIR)
        least = int(np.ceil(self._config.threshold * self._config.permutations - 1e-9))
        for at in range(0, len(rows), _CHUNK):
            chunk = rows[at : at + _CHUNK]
            equal = agreements(self._shards.rows(chunk["better"]), self._shards.rows(chunk["worse"]))
            chunk = chunk[equal >= least]
            self.verified += len(chunk)
            if len(chunk):
                yield chunk
