"""Decoding several prompts together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import torch

from aixmeg.errors import UserError
from aixmeg.generate.batch_cache import Places, batched
from aixmeg.generate.cache import can_cache
from aixmeg.generate.decode import Decoded
from aixmeg.generate.sampling import Sampling, choose

if TYPE_CHECKING:
    from aixmeg.model.builder import CodeModel


@torch.no_grad()
def generate(
    model: CodeModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop_ids: Collection[int],
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
    on_token: Callable[[int, int], None] = lambda text, token: None,
) -> list[Decoded]:
    """Continue each prompt until a stop id or the limit.

    A text's tokens do not depend on the other texts, up to the rounding of a matrix product of another size: chance is
    a function of the text's own seed, and attention sees the text alone.

    Args:
        model: whole on each tensor rank, without sequence parallelism, in evaluation mode.
        prompts: at least one id each; their lengths may differ.
        max_new_tokens: limit for each.
        stop_ids: ids that end a text.
        sampling: greedy by default.
        seeds: one per prompt; needed only when sampling.
        on_token: called with the prompt's index and each new id.

    Raises:
        UserError: an empty prompt, or layers whose attention keeps no cache (Transformer Engine's).
    """
    sampling = sampling or Sampling()
    if not all(map(len, prompts)):
        raise UserError("a prompt has no token; begin it with <s>")
    if not can_cache(model):
        raise UserError("texts are decoded together with the native layer set only; set model.layer_set=native")
    if not prompts or max_new_tokens < 1:
        return [Decoded([], "length", None) for _ in prompts]
    device = next(model.parameters()).device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    longest = int(lengths.max())
    tokens = torch.tensor([[*prompt] + [0] * (longest - len(prompt)) for prompt in prompts], device=device)  # [b, s]
    texts = _Texts(len(prompts), frozenset(stop_ids), sampling, seeds or [0] * len(prompts), on_token)
    places = Places(lengths)
    with batched(model, longest + max_new_tokens, places):
        for _ in range(max_new_tokens):
            rows = model.logits(tokens)[:, -1]  # [b, v]
            tokens = texts.add(rows)[:, None].to(device)
            places.prompt = False
            # A text that has ended writes its last token again and again; nobody reads it.
            places.last = places.last + texts.open.to(device)
            if not texts.open.any():
                break
    return texts.decoded()


class _Texts:
    """What has been written."""

    def __init__(
        self, count: int, stop: frozenset[int], sampling: Sampling, seeds: Sequence[int],
        on_token: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        self._ids: list[list[int]] = [[] for _ in range(count)]
        self._ends: list[int | None] = [None] * count
        self._stop, self._sampling, self._seeds, self._on_token = stop, sampling, seeds, on_token
        self.open = torch.ones(count, dtype=torch.bool)
        """Texts that have not ended: [b]."""

    def add(self, logits: torch.Tensor) -> torch.Tensor:
        """Choose a token of each open text from logits [b, v]; returns what the model reads next, [b]."""
        best = logits.argmax(-1).tolist() if self._sampling.temperature == 0 else None
        rows = logits if best is not None else logits.cpu()
        following = torch.zeros(len(self._ids), dtype=torch.int64)
        for i, ids in enumerate(self._ids):
            if not self.open[i]:
                continue
            token = best[i] if best is not None else choose(rows[i], self._sampling, self._seeds[i], len(ids))
            if token in self._stop:
                self._ends[i], self.open[i] = token, False
                continue
            ids.append(token)
            following[i] = token
            self._on_token(i, token)
        return following

    def decoded(self) -> list[Decoded]:
        """All texts, in order."""
        return [
            Decoded(ids, "length" if end is None else "end", end)
            for ids, end in zip(self._ids, self._ends, strict=True)
        ]
