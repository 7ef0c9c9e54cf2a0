"""Every parameter of the model: global name, full shape, and how tensor parallelism cuts it.

One table serves the initial weights, the parameter count, conversion and the tests. Names are megatron-core's module
names with layers counted from 0 over the whole model, so they depend on no layout.

Legend: `h` hidden, `f` feed-forward, `v` vocabulary, `np` query heads, `ng` key-value groups, `hn` head size.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aixmeg.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

EMBEDDING = "embedding.word_embeddings.weight"
OUTPUT = "output_layer.weight"
FINAL_NORM = "decoder.final_layernorm.weight"


class Sharding(enum.Enum):
    """How the tensor-parallel ranks hold a parameter."""

    REPLICATED = "replicated"
    """Every rank holds all of it (norm weights)."""
    VOCABULARY = "vocabulary"
    """Contiguous rows, `[v, h]` → `[v/tp, h]`."""
    QKV = "qkv"
    """Contiguous rows, whole key-value groups per rank: `[ng * (np/ng + 2) * hn, h]`, in each group its query heads,
    then its key, then its value (`[q … q k v]`)."""
    GATE_UP = "gate|up"
    """`[gate; up]` of shape `[2f, h]`; rank r holds rows r of gate, then rows r of up."""
    COLUMNS = "columns"
    """Contiguous columns, `[h, n]` → `[h, n/tp]` (the matrices whose outputs are summed over ranks)."""


@dataclass(frozen=True)
class ParameterInfo:
    """What is known of a parameter without building a model."""

    name: str
    """Global name: `decoder.layers.7.mlp.linear_fc1.weight`."""
    shape: tuple[int, ...]
    """Shape of the whole tensor."""
    sharding: Sharding
    init_std: float | None
    """Standard deviation of the initial weights; None: the weights start at 1."""

    @property
    def numel(self) -> int:
        """Number of elements of the whole tensor."""
        return math.prod(self.shape)

    def local_shape(self, tp_size: int) -> tuple[int, ...]:
        """Shape of one rank's shard."""
        if self.sharding is Sharding.REPLICATED:
            return self.shape
        axis = 1 if self.sharding is Sharding.COLUMNS else 0
        return tuple(size // tp_size if i == axis else size for i, size in enumerate(self.shape))


def parameter_table(config: ModelConfig) -> dict[str, ParameterInfo]:
    """Global name → description, in the order of the forward pass. A tied output layer has no entry of its own."""
    std, h = config.init_method_std, config.hidden_size
    # Megatron-LM and GPT-2: matrices that write to the residual stream start smaller, by the number of such writes.
    residual_std = std / math.sqrt(2 * config.num_layers)
    per_group = config.num_attention_heads // config.num_query_groups + 2
    heads = config.num_attention_heads * config.head_size
    layer = (
        ParameterInfo("input_layernorm.weight", (h,), Sharding.REPLICATED, None),
        ParameterInfo(
            "self_attention.linear_qkv.weight",
            (config.num_query_groups * per_group * config.head_size, h),
            Sharding.QKV,
            std,
        ),
        ParameterInfo("self_attention.linear_proj.weight", (h, heads), Sharding.COLUMNS, residual_std),
        ParameterInfo("pre_mlp_layernorm.weight", (h,), Sharding.REPLICATED, None),
        ParameterInfo("mlp.linear_fc1.weight", (2 * config.ffn_hidden_size, h), Sharding.GATE_UP, std),
        ParameterInfo("mlp.linear_fc2.weight", (h, config.ffn_hidden_size), Sharding.COLUMNS, residual_std),
    )
    found = [ParameterInfo(EMBEDDING, (config.vocab_size, h), Sharding.VOCABULARY, std)]
    for index in range(config.num_layers):
        found += [replace(info, name=f"decoder.layers.{index}.{info.name}") for info in layer]
    found.append(ParameterInfo(FINAL_NORM, (h,), Sharding.REPLICATED, None))
    if not config.share_embeddings_and_output_weights:
        found.append(ParameterInfo(OUTPUT, (config.vocab_size, h), Sharding.VOCABULARY, std))
    return {info.name: info for info in found}


def count_parameters(config: ModelConfig) -> int:
    """Parameters of the whole model, from the configuration alone."""
    return sum(info.numel for info in parameter_table(config).values())


# Transformer Engine keeps a norm's weight inside the linear layer that follows it.
_FUSED_NORMS = {
    "self_attention.linear_qkv.layer_norm_weight": "input_layernorm.weight",
    "mlp.linear_fc1.layer_norm_weight": "pre_mlp_layernorm.weight",
}
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")


def global_name(local_name: str, *, first_layer: int = 0, tied: bool = False) -> str:
    """The name in the table of a parameter that a pipeline stage calls `local_name`.

    `first_layer` is the stage's first layer, counted from 0 over the model. With `tied`, the last stage's copy of the
    embedding has the embedding's name.
    """
    if tied and local_name == OUTPUT:
        return EMBEDDING
    match = _LAYER.fullmatch(local_name)
    if match is None:
        return local_name
    index, rest = int(match[1]), match[2]
    return f"decoder.layers.{index + first_layer}.{_FUSED_NORMS.get(rest, rest)}"


def named_parameters(
    model: Module, table: Mapping[str, ParameterInfo], *, first_layer: int = 0
) -> Iterator[tuple[ParameterInfo, Parameter]]:
    """Each parameter of one pipeline stage (or chunk) with its entry in the table.

    Raises:
        KeyError: the model holds a parameter that the table lacks.
    """
    tied = OUTPUT not in table
    for local_name, parameter in model.named_parameters():
        yield table[global_name(local_name, first_layer=first_layer, tied=tied)], parameter


def shard(info: ParameterInfo, full: Tensor, *, tp_rank: int, tp_size: int) -> Tensor:
    """The part of the whole tensor that `tp_rank` holds; a view where the shard is contiguous in `full`."""
    if tp_size == 1 or info.sharding is Sharding.REPLICATED:
        return full
    if info.sharding is Sharding.COLUMNS:
        return full.chunk(tp_size, dim=1)[tp_rank]
    if info.sharding is Sharding.GATE_UP:
        import torch

        return torch.cat([half.chunk(tp_size, dim=0)[tp_rank] for half in full.chunk(2, dim=0)])
    return full.chunk(tp_size, dim=0)[tp_rank]


def unshard(info: ParameterInfo, shards: Sequence[Tensor]) -> Tensor:
    """The whole tensor from the shards of all tensor-parallel ranks, in rank order: the inverse of `shard`."""
    if len(shards) == 1 or info.sharding is Sharding.REPLICATED:
        return shards[0]
    import torch

    if info.sharding is Sharding.COLUMNS:
        return torch.cat(list(shards), dim=1)
    if info.sharding is Sharding.GATE_UP:
        halves = [part.chunk(2, dim=0) for part in shards]
        return torch.cat([half[0] for half in halves] + [half[1] for half in halves])
    return torch.cat(list(shards), dim=0)
