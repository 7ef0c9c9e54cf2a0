"""Parameters and FLOPs: against the model's own table, and against published shares of the peak."""

import dataclasses

import pytest

from aixmeg.config import PRESETS, Config, ModelConfig
from aixmeg.model.names import Sharding, count_parameters, parameter_table
from aixmeg.plan.counts import Shape, flops_per_token, stage_parameters
from aixmeg.plan.layout import Layout
from aixmeg.plan.published import LLAMA3_8B

ODD = ModelConfig(
    num_layers=6, hidden_size=96, ffn_hidden_size=160, num_attention_heads=8, num_query_groups=4, kv_channels=20,
    seq_length=64, vocab_size=320,
)  # fmt: skip


@pytest.mark.parametrize("model", [*PRESETS.values(), ODD], ids=[*PRESETS, "odd"])
@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_those_of_the_models_table(model, tied):
    model = dataclasses.replace(model, share_embeddings_and_output_weights=tied)
    assert Shape.of(model).parameters == count_parameters(model)


def test_the_7b_has_7_43_billion():
    assert Shape.of(PRESETS["aixcoder_7b"]).parameters / 1e9 == pytest.approx(7.43, abs=0.005)


@pytest.mark.parametrize(("tp", "pp", "vpp"), [(1, 1, None), (2, 1, None), (4, 2, None), (2, 3, None), (2, 3, 2)])
def test_shards_add_up_to_the_model(tp, pp, vpp):
    config = Config(model=ODD)
    stages = stage_parameters(config, Layout(tp=tp, pp=pp, vpp=vpp))
    assert [len(chunks) for chunks in stages] == [vpp or 1] * pp
    whole = sum(info.numel for info in parameter_table(ODD).values())
    norms = sum(info.numel for info in parameter_table(ODD).values() if info.sharding is Sharding.REPLICATED)
    assert tp * sum(map(sum, stages)) == whole + (tp - 1) * norms


def test_layers_counted_as_embedding_and_loss_shift_to_the_middle():
    model = dataclasses.replace(ODD, num_layers=10)
    layout = Layout(pp=4, embedding_in_split=True, loss_in_split=True)
    assert layout.layers(Config(model=model)) == [[2], [3], [3], [2]]


def test_tied_embedding_is_copied_to_the_last_stage():
    tied = Config(model=dataclasses.replace(ODD, share_embeddings_and_output_weights=True))
    assert stage_parameters(tied, Layout(pp=2)) == stage_parameters(Config(model=ODD), Layout(pp=2))
    (alone,) = stage_parameters(tied, Layout())
    assert alone == [count_parameters(tied.model)]


def test_both_conventions_give_torchtitans_published_shares():
    """6,667 tokens/s per H100 are published as 39.0 % of 989 TFLOP/s with full attention, 34.7 % with causal."""
    flops = flops_per_token(LLAMA3_8B)
    assert 100 * 6667 * flops.full / 989e12 == pytest.approx(39.0, abs=0.05)
    assert 100 * 6667 * flops.causal / 989e12 == pytest.approx(34.7, abs=0.05)


@pytest.mark.parametrize(("length", "percent"), [(8192, 13), (32_768, 37)])
def test_conventions_of_the_7b_differ_by_what_is_published(length, percent):
    flops = flops_per_token(Shape.of(dataclasses.replace(PRESETS["aixcoder_7b"], seq_length=length)))
    assert 100 * (flops.full / flops.causal - 1) == pytest.approx(percent, abs=0.6)
