"""The n-grams of all benchmark items, and which of them a file holds."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from aixmeg.config.corpus import DecontaminateConfig
from aixmeg.corpus.decontaminate.benchmarks import Item
from aixmeg.corpus.decontaminate.comments import Comments, comments_of, strip_comments
from aixmeg.native.library import data_library


@dataclass(frozen=True, kw_only=True)
class Match:
    """An item whose solution or program a file holds."""

    item: str
    """Name of the benchmark's record; of several with the same text, the first."""
    share: float
    """Of its n-grams that are in the file."""
    run_words: int
    """Longest run of its words that is in the file."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
    library.aixmeg_ngrams.argtypes = [text, size, size, pointer]
    library.aixmeg_ngrams.restype = ctypes.c_int64
    library.aixmeg_ngram_table.argtypes = [pointer, size, pointer, pointer, pointer, size]
    library.aixmeg_ngram_table.restype = ctypes.c_int32
    comments = ctypes.POINTER(Comments)
    table, room = [pointer, pointer, pointer, size], [pointer, pointer, size]
    library.aixmeg_ngram_scan.argtypes = [text, size, comments, size, *table, *room]
    library.aixmeg_ngram_scan.restype = ctypes.c_int64
    return library


def ngrams(content: bytes, words: int) -> np.ndarray:
    """Hashes of all runs of `words` words, in order: uint64 [number of words - words + 1]."""
    hashes = np.empty(max(1, len(content)), np.uint64)
    count = _library().aixmeg_ngrams(content, len(content), words, hashes.ctypes.data)
    if count < 0:
        raise ValueError(f"runs of {words} words; they have 1 to 255")
    return hashes[:count].copy()


class Index:
    """Made once per worker; `find` depends on the file alone."""

    def __init__(self, items: Iterable[Item], config: DecontaminateConfig) -> None:
        self._config = config
        self.names: list[str] = []
        """Of each text that is looked for."""
        self.too_short: list[str] = []
        """Items with no text long enough to be looked for."""
        texts: dict[bytes, np.ndarray] = {}
        for item in items:
            long_enough = False
            for text in item.texts:
                code = strip_comments(text.encode("utf-8", "surrogatepass"), item.language)
                different = np.unique(ngrams(code, config.gram_words))
                if len(different) < config.min_grams:
                    continue
                long_enough = True
                if different.tobytes() not in texts:  # infilling sets hold one program many times
                    texts[different.tobytes()] = different
                    self.names.append(item.name)
            if not long_enough:
                self.too_short.append(item.name)
        self._sizes = np.array([len(grams) for grams in texts.values()], np.int64)
        all_grams = np.concatenate([np.empty(0, np.uint64), *texts.values()])
        self._grams, which = np.unique(all_grams, return_inverse=True)
        # Of each gram the texts that hold it, one gram's after the other's.
        self._texts = np.repeat(np.arange(len(texts)), self._sizes)[np.argsort(which, kind="stable")]
        self._starts = np.concatenate(([0], np.cumsum(np.bincount(which, minlength=len(self._grams)))))
        slots = 4 << len(self._grams).bit_length()
        self._table = np.empty(slots, np.uint64), np.empty(slots, np.uint32), np.empty(slots, np.uint8)
        self._addresses = *(array.ctypes.data for array in self._table), slots
        if _library().aixmeg_ngram_table(self._grams.ctypes.data, len(self._grams), *self._addresses):
            raise MemoryError(f"{len(self._grams)} n-grams")
        self._room = np.empty(256, np.uint32), np.empty(256, np.uint32)

    def find(self, content: bytes, language: str) -> list[Match]:
        """The items that a file holds by the rules of the configuration, the largest share first.

        The file is read twice: without its comments, so that they do not hide a copy, and as it is, so that a copy
        inside a comment, a documentation string or a page of text is found too.
        """
        best: dict[str, Match] = {}
        for comments in (comments_of(language), None):
            for match in self._matches(*self._scan(content, comments)):
                best[match.item] = max(best.get(match.item, match), match, key=lambda match: match.share)
        return sorted(best.values(), key=lambda match: (-match.share, match.item))

    def _matches(self, positions: np.ndarray, found: np.ndarray) -> Iterator[Match]:
        if not len(found):
            return
        # One row per (n-gram in the file, text that holds it).
        counts = self._starts[found + 1] - self._starts[found]
        rows = np.repeat(self._starts[found] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        texts = self._texts[rows + np.arange(len(rows))]
        grams, positions = np.repeat(found, counts), np.repeat(positions, counts)
        for text in np.unique(texts):
            here = texts == text
            share = len(np.unique(grams[here])) / int(self._sizes[text])
            run = _longest_run(positions[here]) + self._config.gram_words - 1
            if share >= self._config.share or (self._config.run_words and run >= self._config.run_words):
                yield Match(item=self.names[text], share=round(share, 4), run_words=run)

    def _scan(self, content: bytes, comments: Comments | None) -> tuple[np.ndarray, np.ndarray]:
        while True:
            positions, found = self._room
            room = positions.ctypes.data, found.ctypes.data, len(found)
            words = self._config.gram_words
            count = _library().aixmeg_ngram_scan(content, len(content), comments, words, *self._addresses, *room)
            if count < 0:
                raise MemoryError
            if count <= len(found):
                return positions[:count].astype(np.int64), found[:count].astype(np.int64)
            self._room = np.empty(count, np.uint32), np.empty(count, np.uint32)


def _longest_run(positions: np.ndarray) -> int:
    """Length of the longest run of consecutive numbers in an ascending array."""
    breaks = np.flatnonzero(np.diff(positions) != 1)
    return int(np.diff(np.concatenate(([-1], breaks, [len(positions) - 1]))).max())
