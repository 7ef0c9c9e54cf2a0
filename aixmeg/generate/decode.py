"""Greedy decoding."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from aixmeg.generate.cache import cached, can_cache

if TYPE_CHECKING:
    from aixmeg.model.builder import CodeModel


@dataclass(frozen=True)
class Decoded:
    """New tokens, without the one that ended them."""

    ids: list[int]
    stopped: Literal["end", "length"]
    """`end`: a stop id came; `length`: max_new_tokens were made."""
    last: int | None
    """The stop id."""


@torch.no_grad()
def greedy(
    model: CodeModel,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    stop_ids: Collection[int],
    use_cache: bool = True,
    on_token: Callable[[int], None] = lambda token: None,
) -> Decoded:
    """Append the most probable token (the lowest id among equals) until a stop id or the limit.

    Args:
        model: whole on each tensor rank, in evaluation mode.
        prompt: at least one id.
        max_new_tokens: limit.
        stop_ids: ids that end the text.
        use_cache: False computes the whole sequence anew for each token: slow, and the reference for the cache.
        on_token: called with each new id.
    """
    ids = list(prompt)
    device = next(model.parameters()).device
    use_cache = use_cache and can_cache(model)
    with cached(model, len(ids) + max_new_tokens) if use_cache else contextlib.nullcontext():
        start = 0
        while len(ids) - len(prompt) < max_new_tokens:
            tokens = torch.tensor([ids[start:]], device=device)  # [1, s]
            logits = model.logits(tokens)  # [1, s or 1, v]
            start = len(ids) if use_cache else 0
            best = int(logits[0, -1].argmax())
            if best in stop_ids:
                return Decoded(ids[len(prompt) :], "end", best)
            ids.append(best)
            on_token(best)
    return Decoded(ids[len(prompt) :], "length", None)
