"""Rules of quality: length, words, lists, language, repetition.

The rules and limits of repetition are those of Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1 and table A1):
shares of duplicate lines and paragraphs, by number and by characters; characters in the most frequent 2-, 3- and
4-gram; characters in duplicate 5- to 10-grams. They are applied to what stands outside code blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import numpy as np

from aixmeg.config.corpus import ProseConfig
from aixmeg.corpus.prose.clean import blocks

TOP: Final = {2: 0.20, 3: 0.18, 4: 0.16}
"""n → largest share of characters in the most frequent n-gram."""
DUPLICATE: Final = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""n → largest share of characters in n-grams that stood there before."""
_LINES: Final = (0.30, 0.20)
"""Largest share of duplicate lines, of their characters; the same for paragraphs."""
_BULLET: Final = re.compile(r"\s*(?:[-*+•‣]|\d+[.)])\s")
_WORD: Final = re.compile(r"\w[\w'’-]*")
_ANY: Final = re.compile(r"\w")
_LETTER: Final = re.compile(r"[^\W\d_]")
_STOP_WORDS: Final = frozenset(
    """the be to of and that have with a an in is are was were it this for on as at by or from not you can will if when
    which your we they has been there use used all more one but other these into may should must each any its their do
    does how what than then so only also such after before between""".split()  # noqa: SIM905
)
_MOST_WORDS: Final = 50_000
"""Words that are looked at; the beginning speaks for a longer document."""


def shortcoming(text: str, config: ProseConfig) -> str | None:
    """The reason to drop a document, or None."""
    prose = "".join(piece for code, piece in blocks(text) if not code)
    if len(text.split(maxsplit=config.min_words)) < config.min_words:
        return "prose_too_short"
    words = [word for word in prose.split()[:_MOST_WORDS] if word[0].isalnum() or _ANY.search(word)]
    # Words without the marks of tables and lists; most begin with a letter, which is faster to see.
    alphabetic = sum(word[0].isalpha() or _LETTER.search(word) is not None for word in words)
    if not words or alphabetic < config.min_alphabetic_share * len(words):
        return "prose_not_words"
    lines = [line.strip() for line in prose.splitlines() if line.strip()]
    bullets = sum(_BULLET.match(line) is not None for line in lines)
    if bullets > config.max_bullet_share * len(lines):
        return "prose_list"
    spoken = _WORD.findall(prose.lower())[:_MOST_WORDS]
    if sum(map(_STOP_WORDS.__contains__, spoken)) < config.min_stop_words_share * len(spoken):
        return "prose_not_english"
    if config.repetition and is_repetitive(prose, spoken, config.repetition):
        return "prose_repetitive"
    return None


def is_repetitive(prose: str, words: list[str], factor: float = 1.0) -> bool:
    """Whether lines, paragraphs or n-grams repeat beyond Gopher's limits times `factor`."""
    for parts in (prose.splitlines(), re.split(r"\n\s*\n", prose)):
        number, characters = _duplicates([part.strip() for part in parts if len(part.strip()) > 2])
        if number > factor * _LINES[0] or characters > factor * _LINES[1]:
            return True
    codes: dict[str, int] = {}
    ids = np.fromiter((codes.setdefault(word, len(codes)) for word in words), np.uint64, len(words))
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    total = max(1, int(lengths.sum()))
    if any(_top_share(ids, lengths, n) > factor * limit * total for n, limit in TOP.items()):
        return True
    for n, limit in DUPLICATE.items():
        share = _duplicate_share(ids, lengths, n) / total
        if share > factor * limit:
            return True
        if share <= factor * min(DUPLICATE.values()):  # what a longer n-gram repeats, this one repeats too
            return False
    return False


def _duplicates(parts: list[str]) -> tuple[float, float]:
    """Shares of the parts that stood there before: by number, by characters."""
    counts = Counter(parts)
    characters = max(1, sum(map(len, parts)))
    again = sum(len(part) * (count - 1) for part, count in counts.items())
    return 1 - len(counts) / max(1, len(parts)), again / characters


def _grams(ids: np.ndarray, n: int) -> np.ndarray:
    """A hash for each n-gram, uint64 [words - n + 1]; a polynomial in an odd number, modulo 2**64."""
    grams = np.zeros(max(0, len(ids) - n + 1), np.uint64)
    for place in range(n):
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + ids[place : place + len(grams)] + np.uint64(1)
    return grams


def _top_share(ids: np.ndarray, lengths: np.ndarray, n: int) -> int:
    """Characters in all occurrences of the most frequent n-gram, if there is more than one."""
    _, first, counts = np.unique(_grams(ids, n), return_index=True, return_counts=True)
    if not len(counts) or counts.max() < 2:
        return 0
    best = int(np.argmax(counts))
    at = int(first[best])
    return int(counts[best]) * int(lengths[at : at + n].sum())


def _duplicate_share(ids: np.ndarray, lengths: np.ndarray, n: int) -> int:
    """Characters in n-grams that stood there before; a word in several of them counts once."""
    grams = _grams(ids, n)
    again = np.ones(len(grams), bool)
    again[np.unique(grams, return_index=True)[1]] = False
    edges = np.zeros(len(ids) + 1, np.int64)
    edges[: len(grams)] += again
    edges[n : n + len(grams)] -= again
    return int(lengths[np.cumsum(edges[:-1]) > 0].sum())
