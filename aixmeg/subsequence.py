"""How much of two sequences is the same, in order."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def common_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence: one big-integer addition per item of `b` (Hyyrö 2004)."""
    where: dict[Hashable, int] = {}
    for i, item in enumerate(a):
        where[item] = where.get(item, 0) | 1 << i
    every = (1 << len(a)) - 1
    row = every
    for item in b:
        hits = row & where.get(item, 0)
        row = ((row + hits) | (row - hits)) & every
    return len(a) - row.bit_count()


def similarity(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """2 · common length / both lengths, between 0 and 1; two empty sequences are the same."""
    total = len(a) + len(b)
    return 2 * common_length(a, b) / total if total else 1.0
