"""The parameter table: counts of the presets, shards that tile the whole tensor, names of pipeline stages."""

import pytest
import torch

from aixmeg.config import PRESETS, ModelConfig
from aixmeg.model import names
from aixmeg.model.names import ParameterInfo, Sharding

MODEL = ModelConfig(
    num_layers=2, hidden_size=16, ffn_hidden_size=24, num_attention_heads=8, num_query_groups=4, kv_channels=4,
    seq_length=8, vocab_size=32,
)  # fmt: skip


def test_aixcoder_7b_has_the_published_number_of_parameters():
    h, f, v = 4096, 14464, 49152
    per_layer = h * h + 2 * h * 1024 + h * h + 3 * h * f + 2 * h  # q, k and v, o, gate up down, two norms
    expected = 2 * v * h + 32 * per_layer + h
    assert names.count_parameters(PRESETS["aixcoder_7b"]) == expected == 7_432_572_928


def test_tied_output_layer_is_counted_once():
    tied = ModelConfig(share_embeddings_and_output_weights=True)
    assert names.count_parameters(ModelConfig()) - names.count_parameters(tied) == 49_152 * 4096
    assert names.OUTPUT not in names.parameter_table(tied)


@pytest.mark.parametrize("tp_size", [1, 2, 4])
def test_shards_have_the_local_shape_and_unshard_inverts(tp_size):
    for info in names.parameter_table(MODEL).values():
        full = torch.arange(float(info.numel)).reshape(info.shape)
        shards = [names.shard(info, full, tp_rank=rank, tp_size=tp_size) for rank in range(tp_size)]
        assert {tuple(part.shape) for part in shards} == {info.local_shape(tp_size)}, info.name
        assert torch.equal(names.unshard(info, shards), full), info.name


def test_a_rank_holds_matching_rows_of_gate_and_up():
    info = ParameterInfo("fc1", (8, 1), Sharding.GATE_UP, 1.0)
    part = names.shard(info, torch.arange(8.0)[:, None], tp_rank=1, tp_size=2)
    assert part.flatten().tolist() == [2, 3, 6, 7]


def test_residual_writers_start_smaller():
    table = names.parameter_table(MODEL)
    std = {name.split(".", 3)[-1]: info.init_std for name, info in table.items() if ".layers.0." in name}
    assert std["mlp.linear_fc2.weight"] == std["self_attention.linear_proj.weight"] == pytest.approx(0.02 / 2)
    assert std["mlp.linear_fc1.weight"] == std["self_attention.linear_qkv.weight"] == 0.02
    assert std["input_layernorm.weight"] is None


@pytest.mark.parametrize(
    ("local", "keywords", "expected"),
    [
        ("decoder.layers.0.mlp.linear_fc1.weight", {"first_layer": 7}, "decoder.layers.7.mlp.linear_fc1.weight"),
        ("decoder.layers.1.mlp.linear_fc1.layer_norm_weight", {}, "decoder.layers.1.pre_mlp_layernorm.weight"),
        ("decoder.layers.1.self_attention.linear_qkv.layer_norm_weight", {}, "decoder.layers.1.input_layernorm.weight"),
        ("output_layer.weight", {}, "output_layer.weight"),
        ("output_layer.weight", {"tied": True}, "embedding.word_embeddings.weight"),
        ("decoder.final_layernorm.weight", {"first_layer": 3}, "decoder.final_layernorm.weight"),
    ],
)
def test_global_names(local, keywords, expected):
    assert names.global_name(local, **keywords) == expected


def test_an_unknown_parameter_is_an_error():
    module = torch.nn.ModuleDict({"surprise": torch.nn.Linear(2, 2)})
    with pytest.raises(KeyError, match=r"surprise\.weight"):
        list(names.named_parameters(module, names.parameter_table(MODEL)))
