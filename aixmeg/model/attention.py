"""Causal grouped-query attention with rotary embedding, for megatron-core's attention slots.

Legend: `s` sequence, `b` batch, `np` query heads of this rank, `ng` key-value groups of this rank, `hn` head size.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import torch
from megatron.core.transformer.attention import SelfAttention
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from aixmeg.model.documents import attend_by_document, check_table, position_ids
from aixmeg.model.flash import Backend, attend_packed, varlen_for
from aixmeg.ops.products import widened
from aixmeg.ops.rotary import rotary_qkv, rotary_tables
from aixmeg.parallel.context import chunk_ends, gather_sequence, local_part, local_positions


class RotarySelfAttention(SelfAttention):
    """megatron-core's self-attention whose split into queries, keys and values rotates them in the same pass.

    megatron-core has no slot for the rotary embedding, so the model is built with `position_embedding_type="none"`.
    """

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None, *args: Any, **kwargs: Any) -> Any:
        """As megatron-core's; positions of queries and keys may depend on the documents that the mask names."""
        if isinstance(self.core_attention, RotaryAttention):
            check_table(attention_mask)
            self.core_attention.documents = attention_mask
        return super().forward(hidden_states, attention_mask, *args, **kwargs)  # type: ignore[arg-type]

    def get_query_key_value_tensors(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """`[s, b, h]` → q `[s, b, np, hn]`, k and v `[s, b, ng, hn]`, rotated where `RotaryAttention` reads them.

        Another module in that slot, such as the cache of a text being decoded, knows its positions itself and gets
        what megatron-core would give it.
        """
        if not isinstance(self.core_attention, RotaryAttention):
            return super().get_query_key_value_tensors(hidden_states, *args, **kwargs)
        mixed_qkv, _ = self.linear_qkv(hidden_states)  # type: ignore[operator] (its protocol lacks the call)
        return self.core_attention.rotated(mixed_qkv.unflatten(-1, (self.num_query_groups_per_partition, -1)))


class RotaryAttention(MegatronModule):
    """Attends with queries and keys that it has rotated (Su et al., arXiv 2104.09864; half-split as in Hugging Face's
    Llama) when `RotarySelfAttention`, which it serves, split them from the projection.

    Positions are those of the sequence, 0 to s - 1, and attention is causal over it, unless the attention mask is a
    table of documents (`aixmeg.model.documents`). torch's fused attention never holds the `s x s` scores, which the
    stock module of the local spec does. With context parallelism (`aixmeg.parallel.context`) this rank's queries are
    two chunks of the sequence, and each attends to the gathered keys up to its own end.

    `backend` is `model.attention_backend`: with `flash` torch may not take another kernel than FlashAttention.
    """

    documents: Tensor | None = None
    """Of the micro-batch whose queries and keys are rotated next."""

    def __init__(
        self,
        config: TransformerConfig,
        *,
        rotary_base: float,
        max_sequence_length: int,
        backend: Backend = "auto",
        **slot_arguments: Any,
    ) -> None:
        super().__init__(config)
        self.backend: Backend = backend
        self.rotary_base = rotary_base
        self.max_sequence_length = max_sequence_length
        self.softmax_scale: float | None = slot_arguments.get("softmax_scale")
        self._context: ProcessGroup | None = getattr(slot_arguments.get("pg_collection"), "cp", None)
        if self._context is not None and self._context.size() == 1:
            self._context = None

    def rotated(self, mixed_qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[s, b, ng, (np/ng + 2) * hn]` → q `[s, b, np, hn]`, k and v `[s, b, ng, hn]`."""
        head_size: int = self.config.kv_channels  # type: ignore[assignment] (megatron-core has filled it in)
        group, device = self._context, mixed_qkv.device
        length = mixed_qkv.shape[0] * (1 if group is None else group.size())
        positions = None if self.documents is None else position_ids(self.documents, length, mixed_qkv.shape[1])
        if positions is not None:  # [s, b]
            if group is not None:
                positions = local_part(positions, 0, rank=group.rank(), size=group.size())
            positions = positions.to(device)
        elif group is not None:
            positions = _positions(length, group.rank(), group.size(), device)
        tables = _tables(max(length, self.max_sequence_length), head_size, self.rotary_base, device)
        return rotary_qkv(mixed_qkv, *tables, positions=positions)

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
        """Attention output `[s, b, np * hn]`; `attention_mask` is a table of documents `[documents, 4]`, or None.

        Raises:
            ValueError: another mask, a bias or packed sequences were given, which causal attention would ignore.
        """
        check_table(documents := attention_mask)
        if attention_bias is not None or packed_seq_params is not None:
            raise ValueError("this attention is causal over whole sequences: a bias and packing are not read")
        if self._context is None:
            if documents is not None:
                return self._attend_documents(query, key, value, documents)
            return self._attend(query, key, value)
        keys, values = gather_sequence(torch.cat((key, value), dim=-1), self._context).chunk(
            2, dim=-1
        )  # [s, b, ng, hn]
        ends = chunk_ends(len(keys), rank=self._context.rank(), size=self._context.size())
        parts = list(zip(query.chunk(2), ends, strict=True))
        if documents is None:
            return torch.cat([self._attend(part, keys[:end], values[:end]) for part, end in parts])
        attend = self._attend_documents
        return torch.cat([attend(part, keys, values, documents, first=end - len(part)) for part, end in parts])

    def _attend_documents(
        self, query: Tensor, key: Tensor, value: Tensor, documents: Tensor, *, first: int = 0
    ) -> Tensor:
        """`attend_by_document`, where possible in one call."""
        varlen = varlen_for(query, self.backend)
        if varlen is None:
            return attend_by_document(self._attend, query, key, value, documents, first=first)
        return attend_packed(varlen, query, key, value, documents, first=first, scale=self.softmax_scale)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`[s, b, np, hn]` queries at the end of as many or more keys → `[s, b, np * hn]`."""
        s, b, heads, _ = query.shape
        dtype, gqa, longer = query.dtype, heads != key.shape[2], len(key) > s
        query, key, value = (widened(x).permute(1, 2, 0, 3) for x in (query, key, value))  # [b, heads, s, hn]
        # is_causal would let the first query see the first key alone, however many keys there are.
        mask = _lower_right(s, key.shape[2], query.device) if longer else None
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION) if self.backend == "flash" else contextlib.nullcontext():
            out = scaled_dot_product_attention(
                query, key, value, attn_mask=mask, is_causal=not longer, scale=self.softmax_scale, enable_gqa=gqa
            )
        return out.permute(2, 0, 1, 3).reshape(s, b, -1).to(dtype)


@functools.lru_cache(maxsize=8)
def _lower_right(queries: int, keys: int, device: torch.device) -> Tensor:
    """The mask by which the last query sees all keys, the one before it all but the last, and so on.

    GPU kernels know it by a name, and no mask is made; on the CPU it is bool [queries, keys].
    """
    if device.type == "cuda":
        return causal_lower_right(queries, keys)
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


@functools.lru_cache(maxsize=8)
def _positions(length: int, rank: int, size: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return local_positions(length, rank=rank, size=size, device=device)


@functools.lru_cache(maxsize=8)  # shared by all layers; a pure function of its arguments
def _tables(length: int, head_size: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # a table first made while generating must still serve training
        return rotary_tables(length, head_size, base, device=device)
