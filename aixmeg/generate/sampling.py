"""Choosing the next token, greedily or by chance; the chance is a function of (seed of the text, position) alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from aixmeg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen."""

    temperature: float = 0.0
    """Divides the logits; 0 takes the most probable token always."""
    top_p: float = 1.0
    """Only the most probable tokens that together have this probability are drawn from; 1 takes all."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 100:
            raise UserError(f"temperature={self.temperature} must be 0 (greedy) to 100")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must be above 0 and at most 1 (all tokens)")


def text_seed(seed: int, *names: object) -> int:
    """A seed of 64 bits for one text, of a run's seed and what names the text."""
    return int.from_bytes(hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest(), "little")


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for the token at `position` of the text with `seed`."""
    digest = hashlib.blake2b(f"{seed} {position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


def choose(logits: Tensor, sampling: Sampling, seed: int, position: int) -> int:
    """The next token of one text from its logits [v]."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    # float64 and a fixed order: a rounding difference elsewhere changes the token only where it moves a boundary past
    # the drawn number.
    shares, ids = torch.sort(torch.softmax(logits.double() / sampling.temperature, 0), descending=True, stable=True)
    sums = shares.cumsum(0)
    kept = int((sums < sampling.top_p).sum()) + 1 if sampling.top_p < 1 else len(sums)
    kept = min(kept, len(sums))
    drawn = uniform(seed, position) * float(sums[kept - 1])
    return int(ids[min(int(torch.searchsorted(sums[:kept], drawn, right=True)), kept - 1)])
