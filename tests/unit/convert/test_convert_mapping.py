"""The name table: inverse in both directions, equal to an independent reading of the layouts, strict about misfits."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from aixmeg.config import ModelConfig
from aixmeg.convert.hf_config import config_json
from aixmeg.convert.mapping import from_hf, hf_shapes, rows, to_hf
from aixmeg.errors import UserError

GQA = ModelConfig(
    num_layers=3, hidden_size=24, ffn_hidden_size=40, num_attention_heads=6, num_query_groups=2, seq_length=32,
    vocab_size=50,
)  # fmt: skip
VARIANTS = {
    "grouped": GQA,
    "multi_head": dataclasses.replace(GQA, num_query_groups=6),
    "multi_query": dataclasses.replace(GQA, num_query_groups=1),
    "wide_heads": dataclasses.replace(GQA, kv_channels=6),
    "tied": dataclasses.replace(GQA, share_embeddings_and_output_weights=True),
}


def random_hf(model: ModelConfig) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(shape, generator=generator) for name, shape in hf_shapes(model).items()}


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS.keys())
def test_shapes_are_those_of_transformers(model: ModelConfig) -> None:
    theirs = LlamaForCausalLM(LlamaConfig(**config_json(model, "float32")))
    expected = {name: tuple(tensor.shape) for name, tensor in theirs.named_parameters()}  # tied: without lm_head
    assert hf_shapes(model) == expected


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_round_trip_is_bit_identical(model: ModelConfig, dtype: torch.dtype) -> None:
    weights = {name: tensor.to(dtype) for name, tensor in random_hf(model).items()}
    native = dict(from_hf(weights, model))
    assert list(native) == [row.megatron for row in rows(model)]
    back = dict(to_hf(native, model))
    assert list(back) == list(weights)
    assert all(torch.equal(back[name], weights[name]) and back[name].dtype == dtype for name in weights)
    again = dict(from_hf(back, model))
    assert all(torch.equal(again[name], native[name]) for name in native)


def test_fused_qkv_is_interleaved_per_group() -> None:
    """Read row by row from the published layout [q … q k v] per group, without the table's reshapes."""
    native = dict(from_hf(random_hf(GQA), GQA))
    name = "decoder.layers.1.self_attention.linear_qkv.weight"
    hf = dict(to_hf(native, GQA))
    q, k, v = (hf[f"model.layers.1.self_attn.{part}_proj.weight"] for part in "qkv")
    size, expected = GQA.head_size, []
    for group in range(2):
        for head in range(3 * group, 3 * group + 3):
            expected += [q[head * size + i] for i in range(size)]
        expected += [part[group * size + i] for part in (k, v) for i in range(size)]
    assert torch.equal(native[name], torch.stack(expected))


def test_gate_comes_before_up() -> None:
    weights = random_hf(GQA)
    fused = dict(from_hf(weights, GQA))["decoder.layers.2.mlp.linear_fc1.weight"]
    assert torch.equal(fused[: GQA.ffn_hidden_size], weights["model.layers.2.mlp.gate_proj.weight"])
    assert torch.equal(fused[GQA.ffn_hidden_size :], weights["model.layers.2.mlp.up_proj.weight"])


def test_a_tied_folder_may_repeat_the_embedding() -> None:
    tied = VARIANTS["tied"]
    weights = random_hf(tied)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    assert "output_layer.weight" not in dict(from_hf(weights, tied))


def test_missing_and_unknown_weights_are_named() -> None:
    weights = random_hf(GQA)
    weights["model.layers.3.input_layernorm.weight"] = weights.pop("model.norm.weight")
    with pytest.raises(UserError, match=r"1 missing, such as model\.norm.*1 unknown, such as model\.layers\.3"):
        dict(from_hf(weights, GQA))
    native = dict(from_hf(random_hf(GQA), GQA))
    del native["decoder.final_layernorm.weight"]
    with pytest.raises(UserError, match=r"1 missing, such as decoder\.final_layernorm"):
        dict(to_hf(native, GQA))


def test_wrong_shapes_are_named() -> None:
    native = dict(from_hf(random_hf(GQA), GQA))
    name = "decoder.layers.0.self_attention.linear_qkv.weight"
    wide = dataclasses.replace(GQA, num_query_groups=3)
    with pytest.raises(UserError, match=rf"{name} has shape \[40, 24\] where its configuration gives \[48, 24\]"):
        dict(to_hf(native, wide))
    weights = random_hf(GQA)
    weights["lm_head.weight"] = weights["lm_head.weight"][:-1]
    with pytest.raises(UserError, match=r"lm_head\.weight has shape \[49, 24\]"):
        dict(from_hf(weights, GQA))
