"""Licence texts → SPDX ids, by fingerprints: hashes of the texts' word 4-grams, none of their words.

A fingerprint holds the 96 lowest hashes of the 4-grams of a licence's text (a bottom-k sketch, Broder 1997), so that
the share of them that a file holds estimates the share of the licence that it holds. tools/licence_fingerprints.py
makes fingerprints.json.
"""

from __future__ import annotations

import base64
import ctypes
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.native.library import data_library

SKETCH: Final = 96
"""Hashes per licence at most."""
_SEEN: Final = 0.5
"""Share of a licence's hashes that a file holds before the licence is looked at."""
_MARGIN: Final = 0.2
"""A licence is reported beside a longer one if the file holds that much more of it than the longer one's text does."""


@dataclass(frozen=True, slots=True)
class Match:
    """A licence whose text stands in a file."""

    id: str
    similarity: float
    """Share of the licence's 4-grams that the file holds, 0 to 1."""
    words: int
    """Length of the licence's text."""


@dataclass(frozen=True)
class _Table:
    ids: list[str]
    words: np.ndarray
    """float64 [licences]: length of the texts."""
    sizes: np.ndarray
    """float64 [licences]: hashes of each."""
    inside: np.ndarray
    """float64 [licences, licences]: share of the row's hashes that the column's text holds."""
    hashes: np.ndarray
    """uint32 [hashes], sorted."""
    owners: np.ndarray
    """uint8 [hashes, licences]: 1 where the licence has the hash."""
    starts: np.ndarray
    """int32 [4097]: index of the first hash whose upper 12 bits are the place in this array or more."""


def word_grams(text: bytes) -> np.ndarray:
    """Hashes of the word 4-grams, uint32 [grams], in the order of the text."""
    out = np.empty(len(text) // 2 + 1, np.uint32)
    return out[: _library().aixmeg_word_grams(text, len(text), out.ctypes.data, len(out))]


def matches(text: bytes, *, least: float = 0.8) -> list[Match]:
    """The licences whose texts stand in `text`, the longest first; versions and parts of a found one are left out.

    `least` is the share of a licence's text that must be there; above 0.5.
    """
    table = _table()
    seen = np.zeros(len(table.hashes), np.uint8)
    _library().aixmeg_find_grams(
        text, len(text), table.hashes.ctypes.data, table.starts.ctypes.data, seen.ctypes.data
    )  # fmt: skip
    found = table.owners[np.flatnonzero(seen)].sum(axis=0, dtype=np.uint16) / table.sizes
    left = np.where(found >= max(least, _SEEN), found, 0.0)
    result: list[Match] = []
    while some := np.count_nonzero(left):
        leader = int(np.argmax(left * table.words))
        best = _best_of_group(table, found, left, leader) if some > 1 else leader
        result.append(Match(table.ids[best], float(found[best]), int(table.words[best])))
        left[found < table.inside[:, best] + _MARGIN] = 0.0
        left[best] = 0.0
    return result


def _best_of_group(table: _Table, found: np.ndarray, left: np.ndarray, leader: int) -> int:
    """Which of the licences that share much of their text with the leader it is.

    If it is licence i, of licence j the share inside[j, i] should be found: the one with the smallest difference wins.
    """
    group = np.flatnonzero((left > 0) & ((table.inside[:, leader] >= _SEEN) | (table.inside[leader] >= _SEEN)))
    difference = np.abs(found[group, None] - table.inside[np.ix_(group, group)]).sum(axis=0)
    return int(group[np.argmin(difference)])


def read_fingerprint(line: dict[str, str]) -> np.ndarray:
    """The hashes of a row of fingerprints.json, uint32 [hashes]."""
    return np.frombuffer(base64.b64decode(line["hashes"]), "<u4")


@functools.cache
def _table() -> _Table:
    rows = json.loads(Path(__file__).with_name("fingerprints.json").read_text(encoding="utf-8"))
    ids = list(rows)
    prints = [read_fingerprint(rows[one]) for one in ids]
    hashes = np.unique(np.concatenate(prints))
    owners = np.zeros((len(hashes), len(ids)), np.uint8)
    inside = np.eye(len(ids))
    for row, (name, print_) in enumerate(zip(ids, prints, strict=True)):
        owners[np.searchsorted(hashes, print_), row] = 1
        for other, share in rows[name]["inside"].items():
            inside[row, ids.index(other)] = share
    starts = np.searchsorted(hashes >> 20, np.arange(4097)).astype(np.int32)
    words = np.array([rows[one]["words"] for one in ids], float)
    return _Table(ids, words, np.array([len(one) for one in prints], float), inside, hashes, owners, starts)


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    library.aixmeg_word_grams.restype = ctypes.c_int64
    library.aixmeg_word_grams.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    library.aixmeg_find_grams.restype = None
    library.aixmeg_find_grams.argtypes = [ctypes.c_char_p, ctypes.c_int64, *[ctypes.c_void_p] * 3]
    return library
