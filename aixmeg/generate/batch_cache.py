"""Keys and values of several texts of different lengths, which are decoded together.

Prompts are padded on the right: causal attention never looks there, so every token has the position it would have
alone, and a new token overwrites the padding. Legend: s positions, b batch, np query heads, ng key-value groups, hn
head size, h hidden, k keys.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from aixmeg.ops.rotary import rotary, rotary_tables

if TYPE_CHECKING:
    from aixmeg.model.attention import RotaryAttention


class Places:
    """Where the tokens of the next forward pass stand; shared by the layers."""

    def __init__(self, lengths: Tensor) -> None:
        self.last = lengths - 1
        """Position of each text's last token: int64 [b]."""
        self.prompt = True
        """Whether the next pass is the prompts' (s positions of each text) or one token of each."""


class BatchedAttention(nn.Module):
    """Stands in megatron-core's `core_attention` slot while texts are decoded, for the module that it was made from."""

    def __init__(self, original: RotaryAttention, capacity: int, places: Places) -> None:
        super().__init__()
        self._rotary_base, self._scale, self._capacity = original.rotary_base, original.softmax_scale, capacity
        self._places = places
        self._keys = self._values = self._cos = self._sin = torch.empty(0)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        """[s, b, np, hn], [s, b, ng, hn], [s, b, ng, hn] → [s, b, np * hn]; s is 1 after the prompts."""
        s, b, heads = query.shape[:3]
        if self._places.prompt:
            q, k, v, mask = self._prompts(query, key, value)
        else:
            q, k, v, mask = self._next(query, key, value)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=self._scale, enable_gqa=heads != k.shape[1]
        )  # [b, np, s, hn]
        return out.permute(2, 0, 1, 3).reshape(s, b, -1)

    def _prompts(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        s = query.shape[0]
        self._keys = key.new_zeros(self._capacity, *key.shape[1:])  # no NaN where nothing was written yet
        self._values = torch.zeros_like(self._keys)
        self._cos, self._sin = rotary_tables(self._capacity, query.shape[-1], self._rotary_base, device=query.device)
        cos, sin = self._cos[:s], self._sin[:s]
        self._keys[:s], self._values[:s] = rotary(key, cos, sin), value
        q, k, v = (part.permute(1, 2, 0, 3) for part in (rotary(query, cos, sin), self._keys[:s], self._values[:s]))
        return q, k, v, None

    def _next(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        last = self._places.last  # [b]
        cos, sin = self._cos[last], self._sin[last]
        # One token of each of b texts, as b positions of one text: the op turns each by a row of its own.
        q, new = (rotary(part.transpose(0, 1), cos, sin) for part in (query, key))  # [b, 1, heads, hn]
        texts = torch.arange(len(last), device=last.device)
        self._keys[last, texts], self._values[last, texts] = new[:, 0], value[0]
        end = int(last.max()) + 1
        k, v = (part[:end].permute(1, 2, 0, 3) for part in (self._keys, self._values))  # [b, ng, k, hn]
        mask = torch.arange(end, device=last.device)[None, :] <= last[:, None]  # [b, k]
        return q.permute(0, 2, 1, 3), k, v, mask[:, None, None, :]


@contextlib.contextmanager
def batched(model: Any, capacity: int, places: Places) -> Iterator[None]:
    """Inside, `model` takes padded prompts first and one token of each text then, and makes the last logits alone."""
    attentions = [layer.self_attention for layer in model.decoder.layers]
    originals = [attention.core_attention for attention in attentions]

    def last(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0]  # [s, b, h] → [1, b, h]
        rows = places.last if places.prompt else torch.zeros_like(places.last)
        return hidden[rows, torch.arange(hidden.shape[1], device=hidden.device)][None], *inputs[1:]

    hook = model.output_layer.register_forward_pre_hook(last)
    try:
        for attention, original in zip(attentions, originals, strict=True):
            attention.core_attention = BatchedAttention(original, capacity, places)
        yield
    finally:
        hook.remove()
        for attention, original in zip(attentions, originals, strict=True):
            attention.core_attention = original
