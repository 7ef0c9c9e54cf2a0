"""Keys and values of the tokens already seen, so that a new token costs one position instead of the whole sequence.

Legend: s new positions, b batch, np query heads, ng key-value groups, hn head size, h hidden.
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


class CachedAttention(nn.Module):
    """`RotaryAttention` for a sequence that arrives in parts: first the prompt, then one token at a time.

    Positions go on where the last call ended. It stands in megatron-core's `core_attention` slot while a text is
    decoded and reads the settings of the module that it stands for.
    """

    def __init__(self, original: RotaryAttention, capacity: int) -> None:
        super().__init__()
        self._rotary_base, self._scale, self._capacity = original.rotary_base, original.softmax_scale, capacity
        self._length = 0
        self._keys = self._values = self._cos = self._sin = torch.empty(0)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
        """[s, b, np, hn], [s, b, ng, hn], [s, b, ng, hn] → [s, b, np * hn]; s is 1 after the first call."""
        s, b, heads, head_size = query.shape
        start, end = self._length, self._length + s
        if start == 0:
            self._keys = key.new_empty(self._capacity, *key.shape[1:])
            self._values = torch.empty_like(self._keys)
            self._cos, self._sin = rotary_tables(self._capacity, head_size, self._rotary_base, device=query.device)
        elif s != 1:
            raise ValueError(f"{s} positions after the first {start}: the mask is right for one at a time only")
        cos, sin = self._cos[start:end], self._sin[start:end]
        self._keys[start:end] = rotary(key, cos, sin)
        self._values[start:end] = value
        self._length = end
        parts = (rotary(query, cos, sin), self._keys[:end], self._values[:end])
        q, k, v = (part.permute(1, 2, 0, 3) for part in parts)  # [b, heads, positions, hn]
        out = scaled_dot_product_attention(
            q, k, v, is_causal=start == 0, scale=self._scale, enable_gqa=heads != k.shape[1]
        )
        return out.permute(2, 0, 1, 3).reshape(s, b, -1)


@contextlib.contextmanager
def cached(model: Any, capacity: int) -> Iterator[None]:
    """Inside, `model` takes a sequence of at most `capacity` tokens part by part and computes the last logits only."""
    attentions = [layer.self_attention for layer in model.decoder.layers]
    originals = [attention.core_attention for attention in attentions]
    # A prompt of 32,768 tokens would otherwise make 6 GB of logits of which one row is read. [s, b, h] → [1, b, h]
    last = model.output_layer.register_forward_pre_hook(lambda module, inputs: (inputs[0][-1:], *inputs[1:]))
    try:
        for attention, original in zip(attentions, originals, strict=True):
            attention.core_attention = CachedAttention(original, capacity)
        yield
    finally:
        last.remove()
        for attention, original in zip(attentions, originals, strict=True):
            attention.core_attention = original


def can_cache(model: Any) -> bool:
    """Whether every layer's attention is ours; Transformer Engine's keeps no cache that we could fill."""
    from aixmeg.model.attention import RotaryAttention

    return all(isinstance(layer.self_attention.core_attention, RotaryAttention) for layer in model.decoder.layers)
