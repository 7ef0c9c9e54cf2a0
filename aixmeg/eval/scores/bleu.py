"""BLEU-4 over words that blanks separate, or over any tokens. Source: Papineni et al., ACL 2002.

A completion is often shorter than four words, so how a missing n-gram counts decides the score:

    epsilon   a precision without a hit counts 0.1 hits (Chen and Cherry 2014, method 1: NLTK's and CodeBLEU's)
    exp       the k-th precision without a hit counts 1/2^k hits (mteval's and sacrebleu's)
    none      a precision without a hit makes the score 0
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

Smoothing = Literal["epsilon", "exp", "none"]
_ORDER = 4
_EPSILON = 0.1


def corpus_bleu(
    completions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, smoothing: Smoothing = "epsilon"
) -> float:
    """BLEU-4 of all texts together, 0 to 1: hits and lengths are summed before precisions are taken.

    Args:
        completions: tokens of each text.
        references: one per completion.
        smoothing: see above. With `epsilon` an order that no text is long enough for counts as one miss.
    """
    hits, totals = [0] * _ORDER, [0] * _ORDER
    for completion, reference in zip(completions, references, strict=True):
        for order in range(_ORDER):
            ours, theirs = ngrams(completion, order + 1), ngrams(reference, order + 1)
            hits[order] += (ours & theirs).total()
            # NLTK counts each text that is too short as one n-gram.
            totals[order] += max(1, ours.total()) if smoothing == "epsilon" else ours.total()
    length, wanted = sum(map(len, completions)), sum(map(len, references))
    if hits[0] == 0:
        return 0.0
    precisions = _smooth(hits, totals, smoothing)
    if min(precisions) <= 0:
        return 0.0
    return brevity(length, wanted) * math.exp(math.fsum(map(math.log, precisions)) / _ORDER)


def sentence_bleu(completion: Sequence[str], reference: Sequence[str], *, smoothing: Smoothing = "epsilon") -> float:
    """BLEU-4 of one text, 0 to 1."""
    return corpus_bleu([completion], [reference], smoothing=smoothing)


def ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """How often each run of `order` tokens occurs."""
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def brevity(length: int, wanted: int) -> float:
    """Penalty of a text that is shorter than its reference."""
    if length == 0:
        return 0.0
    return 1.0 if length > wanted else math.exp(1 - wanted / length)


def _smooth(hits: Sequence[int], totals: Sequence[int], smoothing: Smoothing) -> list[float]:
    precisions, missed = [], 0
    for hit, total in zip(hits, totals, strict=True):
        if total == 0:
            precisions.append(0.0)
        elif hit:
            precisions.append(hit / total)
        else:
            missed += 1
            counted = {"epsilon": _EPSILON, "exp": 0.5**missed, "none": 0.0}[smoothing]
            precisions.append(counted / total)
    return precisions
