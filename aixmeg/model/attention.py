"""Causal grouped-query attention with rotary embedding, for megatron-core's `core_attention` slot.

Legend: `s` sequence, `b` batch, `np` query heads of this rank, `ng` key-value groups of this rank, `hn` head size.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from aixmeg.ops.rotary import rotary, rotary_tables


class RotaryAttention(MegatronModule):
    """Rotates queries and keys (Su et al., arXiv 2104.09864; half-split as in Hugging Face's Llama), then attends.

    megatron-core has no slot for the rotary embedding, so the model is built with `position_embedding_type="none"`
    and positions are those of the sequence, 0 to s - 1. torch's fused attention never holds the `s x s` scores, which
    the stock module of the local spec does.
    """

    def __init__(
        self, config: TransformerConfig, *, rotary_base: float, max_sequence_length: int, **slot_arguments: Any
    ) -> None:
        super().__init__(config)
        self.rotary_base = rotary_base
        self.max_sequence_length = max_sequence_length
        self.softmax_scale: float | None = slot_arguments.get("softmax_scale")

    def forward(
        self,
        query: Tensor,  # [s, b, np, hn]
        key: Tensor,  # [s, b, ng, hn]
        value: Tensor,  # [s, b, ng, hn]
        attention_mask: Tensor | None = None,
        *,
        attn_mask_type: Any = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Any = None,
    ) -> Tensor:
        """Attention output `[s, b, np * hn]`.

        Raises:
            ValueError: a mask, a bias or packed sequences were given, which causal attention would ignore.
        """
        if attention_mask is not None or attention_bias is not None or packed_seq_params is not None:
            raise ValueError("this attention is causal over whole sequences: masks and packing are not read")
        s, b, heads, _ = query.shape
        cos, sin = _tables(max(s, self.max_sequence_length), query.shape[-1], self.rotary_base, query.device)
        query, key = rotary(query, cos[:s], sin[:s]), rotary(key, cos[:s], sin[:s])
        query, key, value = (x.permute(1, 2, 0, 3) for x in (query, key, value))  # [b, heads, s, hn]
        out = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=self.softmax_scale, enable_gqa=heads != key.shape[1]
        )
        return out.permute(2, 0, 1, 3).reshape(s, b, -1)


@functools.lru_cache(maxsize=8)  # shared by all layers; a pure function of its arguments
def _tables(length: int, head_size: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # a table first made while generating must still serve training
        return rotary_tables(length, head_size, base, device=device)
