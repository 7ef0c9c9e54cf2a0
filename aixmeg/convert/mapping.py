"""The one table that relates megatron-core parameters to Hugging Face Llama weights, used in both directions.

Rotary embeddings rotate half-split pairs on both sides (`rotate half`), so no rows of q or k are permuted.
Axes: h hidden, f feed-forward, v vocabulary, q = np * hn query width, k = ng * hn key-value width
(np heads, ng key-value groups, hn head size).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from aixmeg.config import ModelConfig
from aixmeg.errors import UserError


@dataclasses.dataclass(frozen=True)
class Form:
    """How one megatron tensor is cut into Hugging Face tensors, and put together again."""

    cut: Callable[[Tensor, ModelConfig], tuple[Tensor, ...]]
    join: Callable[[Sequence[Tensor], ModelConfig], Tensor]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; `*` stands for the layer, counted from 0 over the whole model."""

    megatron: str
    hf: tuple[tuple[str, str], ...]  # (name, axes)
    form: Form


def _cut_qkv(fused: Tensor, model: ModelConfig) -> tuple[Tensor, ...]:
    """[ng * (np/ng + 2) * hn, h], each group `[q … q k v]` → q [np * hn, h], k and v [ng * hn, h]."""
    per_group = model.num_attention_heads // model.num_query_groups
    groups = fused.view(model.num_query_groups, per_group + 2, model.head_size, -1)
    parts = (groups[:, :per_group], groups[:, per_group], groups[:, per_group + 1])
    return tuple(part.reshape(-1, fused.shape[-1]) for part in parts)


def _join_qkv(parts: Sequence[Tensor], model: ModelConfig) -> Tensor:
    groups = [part.view(model.num_query_groups, -1, model.head_size, part.shape[-1]) for part in parts]
    return torch.cat(groups, dim=1).reshape(-1, parts[0].shape[-1])


SAME = Form(cut=lambda tensor, _: (tensor,), join=lambda parts, _: parts[0])
QKV_PER_GROUP = Form(cut=_cut_qkv, join=_join_qkv)
GATE_THEN_UP = Form(cut=lambda tensor, _: tensor.chunk(2), join=lambda parts, _: torch.cat(list(parts)))

_ATTENTION = "model.layers.*.self_attn"
_MLP = "model.layers.*.mlp"
# fmt: off
TABLE: tuple[Row, ...] = (
    Row("embedding.word_embeddings.weight", (("model.embed_tokens.weight", "vh"),), SAME),
    Row("decoder.layers.*.input_layernorm.weight", (("model.layers.*.input_layernorm.weight", "h"),), SAME),
    Row("decoder.layers.*.self_attention.linear_qkv.weight",
        ((f"{_ATTENTION}.q_proj.weight", "qh"), (f"{_ATTENTION}.k_proj.weight", "kh"),
         (f"{_ATTENTION}.v_proj.weight", "kh")), QKV_PER_GROUP),
    Row("decoder.layers.*.self_attention.linear_proj.weight", ((f"{_ATTENTION}.o_proj.weight", "hq"),), SAME),
    Row("decoder.layers.*.pre_mlp_layernorm.weight", (("model.layers.*.post_attention_layernorm.weight", "h"),), SAME),
    Row("decoder.layers.*.mlp.linear_fc1.weight",
        ((f"{_MLP}.gate_proj.weight", "fh"), (f"{_MLP}.up_proj.weight", "fh")), GATE_THEN_UP),
    Row("decoder.layers.*.mlp.linear_fc2.weight", ((f"{_MLP}.down_proj.weight", "hf"),), SAME),
    Row("decoder.final_layernorm.weight", (("model.norm.weight", "h"),), SAME),
    Row("output_layer.weight", (("lm_head.weight", "vh"),), SAME),  # absent when tied to the embedding
)
# fmt: on


def rows(model: ModelConfig) -> Iterator[Row]:
    """The table written out for every layer of `model`, in the order of its forward pass."""
    layered = [row for row in TABLE if "*" in row.megatron]
    first, last = TABLE.index(layered[0]), TABLE.index(layered[-1])
    yield from TABLE[:first]
    for layer in range(model.num_layers):
        for row in layered:
            hf = tuple((name.replace("*", str(layer)), axes) for name, axes in row.hf)
            yield Row(row.megatron.replace("*", str(layer)), hf, row.form)
    for row in TABLE[last + 1 :]:
        if row.megatron != "output_layer.weight" or not model.share_embeddings_and_output_weights:
            yield row


def hf_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every Hugging Face weight, in the order in which `to_hf` yields them."""
    sizes = {
        "h": model.hidden_size,
        "f": model.ffn_hidden_size,
        "v": model.vocab_size,
        "q": model.num_attention_heads * model.head_size,
        "k": model.num_query_groups * model.head_size,
    }
    return {name: tuple(sizes[axis] for axis in axes) for row in rows(model) for name, axes in row.hf}


def to_hf(
    weights: Mapping[str, Tensor],
    model: ModelConfig,
    *,
    only: Collection[str] | None = None,
    vocab_size: int | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield every Hugging Face weight; a tensor may be a view of the native one.

    Args:
        weights: by megatron-core's names; each is asked for once, when its turn comes.
        model: of the native weights.
        only: Hugging Face names to yield; None yields all.
        vocab_size: rows of the embedding to yield, where the native one is padded; None yields all.

    Raises:
        UserError: a weight is missing, unknown, or has another shape than `model` gives it.
    """
    _check_names({row.megatron for row in rows(model)}, set(weights), "native checkpoint")
    shapes = hf_shapes(model)
    for row in rows(model):
        if only is not None and not any(name in only for name, _ in row.hf):
            continue
        whole = weights[row.megatron]
        expected = (sum(shapes[name][0] for name, _ in row.hf), *shapes[row.hf[0][0]][1:])
        _check_shape(row.megatron, whole, expected)
        if vocab_size is not None and row.hf[0][1][0] == "v":
            whole = whole[:vocab_size]
        for (name, _), part in zip(row.hf, row.form.cut(whole.detach(), model), strict=True):
            if only is None or name in only:
                yield name, part


def from_hf(
    weights: Mapping[str, Tensor], model: ModelConfig, *, only: Collection[str] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Yield every megatron-core weight by its name in an unsplit model, or those named in `only`; inverse of `to_hf`.

    Raises:
        UserError: a weight is missing, unknown, or has another shape than `model` gives it.
    """
    shapes = hf_shapes(model)
    # Early writers stored the rotary frequencies, which follow from the configuration.
    found = {name for name in weights if not name.endswith(".rotary_emb.inv_freq")}
    if model.share_embeddings_and_output_weights:
        found.discard("lm_head.weight")  # some writers store the tied matrix twice
    _check_names(set(shapes), found, "Hugging Face folder")
    for row in rows(model):
        if only is not None and row.megatron not in only:
            continue
        parts = [weights[name] for name, _ in row.hf]
        for (name, _), part in zip(row.hf, parts, strict=True):
            _check_shape(name, part, shapes[name])
        yield row.megatron, row.form.join(parts, model)


def _check_names(expected: set[str], found: set[str], where: str) -> None:
    missing, unknown = sorted(expected - found), sorted(found - expected)
    if missing or unknown:
        problems = [f"{len(names)} {word}, such as {names[0]}" for names, word in
                    ((missing, "missing"), (unknown, "unknown")) if names]  # fmt: skip
        raise UserError(
            f"the weights of the {where} do not fit its configuration: {'; '.join(problems)}; "
            "check num_layers and the other model sizes, or that the folder belongs to a Llama-family model"
        )


def _check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != expected:
        raise UserError(
            f"{name} has shape {list(tensor.shape)} where its configuration gives {list(expected)}; "
            "the weights and the configuration belong to different models"
        )
