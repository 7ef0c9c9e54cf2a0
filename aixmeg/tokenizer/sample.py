"""Which files a tokenizer is trained on and which it is checked on: a function of (seed, document) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from aixmeg.errors import UserError

CHECK_FILES = 400
CHECK_BYTES = 4_000_000
"""Held-out files for the check: enough to see every language, a few seconds to encode."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Files by their key: training takes keys below `train_below`, the check those from `check_from` up to `check_to`.

    Keys are uniform, so every part of the corpus is taken in its proportion, whatever its order.
    """

    train_below: int
    check_from: int
    check_to: int
    train_files: int
    train_bytes: int
    held_out: bool
    """False where training takes every file, so that the check repeats some of them."""

    def trains_on(self, key: int) -> bool:
        """Whether training reads the file with this key."""
        return key < self.train_below

    def checks(self, key: int) -> bool:
        """Whether the check reads the file with this key."""
        return self.check_from <= key < self.check_to


def document_key(seed: int, repository: str, path: str) -> int:
    """Uniform 64-bit number of one file."""
    name = f"{seed}\0{repository}\0{path}".encode("utf-8", errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")


def choose(documents: Iterable[tuple[int, int]], max_training_bytes: int) -> Sample:
    """Take files in the order of their keys until the next one would exceed `max_training_bytes` (0: take all).

    Args:
        documents: (key, bytes) of every file.
        max_training_bytes: budget of training text.

    Raises:
        UserError: no files, or a budget below the first file.
    """
    ordered = sorted(documents)
    if not ordered:
        raise UserError(
            "the corpus holds no files; build one with `aixmeg corpus build`, from folders with source code"
        )
    taken = _count_within(ordered, max_training_bytes or sum(size for _, size in ordered))
    if not taken:
        raise UserError(
            f"tokenizer.max_training_bytes={max_training_bytes} is less than the first sampled file of {ordered[0][1]} "
            "bytes; set it to some millions, or to 0 for the whole corpus"
        )
    held_out = taken < len(ordered)
    first = taken if held_out else 0
    count = max(1, min(CHECK_FILES, _count_within(ordered[first : first + CHECK_FILES], CHECK_BYTES)))
    return Sample(
        train_below=ordered[taken - 1][0] + 1,
        check_from=ordered[first][0],
        check_to=ordered[first + count - 1][0] + 1,
        train_files=taken,
        train_bytes=sum(size for _, size in ordered[:taken]),
        held_out=held_out,
    )


def _count_within(ordered: list[tuple[int, int]], budget: int) -> int:
    """How many files from the start fit into `budget` bytes together."""
    for count, (_, size) in enumerate(ordered):
        budget -= size
        if budget < 0:
            return count
    return len(ordered)
