"""Building: shapes on the meta device, marks for tensor parallelism, the guards, the te layer set's settings."""

import dataclasses
import sys
from types import ModuleType

import megatron.core.utils as core_utils
import pytest
import torch
from megatron.core.extensions import transformer_engine as te_extension
from megatron.core.extensions.transformer_engine_spec_provider import TESpecProvider
from megatron.core.models.gpt import gpt_layer_specs
from packaging.version import Version

from aixmeg.config import PRESETS, Config, ModelConfig, ParallelConfig, TokenizerConfig, TrainConfig, conflicts
from aixmeg.errors import UserError
from aixmeg.model import guards, spec
from aixmeg.model.builder import build_model, count_parameters, transformer_config
from aixmeg.model.names import named_parameters, parameter_table
from aixmeg.parallel import adaptor

SMALL = ModelConfig(num_layers=4, hidden_size=32, ffn_hidden_size=48, num_attention_heads=4, num_query_groups=2,
                    seq_length=16, vocab_size=64)  # fmt: skip
PIPELINE = ParallelConfig(pipeline_model_parallel_size=2, virtual_pipeline_model_parallel_size=2, overlap_p2p_comm=True)
TE = dataclasses.replace(SMALL, layer_set="te", fp8="hybrid", fp8_recipe="tensorwise")


def settings(model: ModelConfig = SMALL, parallel: ParallelConfig | None = None, precision: str = "fp32") -> Config:
    return Config(
        model=model, tokenizer=TokenizerConfig(vocab_size=model.vocab_size), parallel=parallel or ParallelConfig(),
        train=TrainConfig(precision=precision),
    )  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_on_the_meta_device_have_the_counted_parameters(topology, preset):
    (model,) = build_model(settings(PRESETS[preset]), topology, device="meta")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(PRESETS[preset])
    if preset == "aixcoder_7b":
        assert count_parameters(PRESETS[preset]) == 7_432_572_928


def test_table_and_model_hold_the_same_parameters(topology):
    for tied in (False, True):
        config = settings(dataclasses.replace(SMALL, share_embeddings_and_output_weights=tied))
        (model,) = build_model(config, topology, device="cpu")
        found = [info.name for info, _ in named_parameters(model, parameter_table(config.model))]
        assert sorted(found) == sorted(parameter_table(config.model))


def test_megatron_core_marks_the_sharded_parameters(topology):
    """Gradient norms count a parameter once per tensor rank if it is marked, else once."""
    (model,) = build_model(settings(), topology, device="cpu")
    for info, parameter in named_parameters(model, parameter_table(SMALL)):
        assert getattr(parameter, "tensor_model_parallel", False) == (info.init_std is not None), info.name
        if info.init_std is not None:
            assert parameter.partition_dim == (1 if info.sharding.value == "columns" else 0), info.name


def test_precision_decides_the_dtype(topology):
    (model,) = build_model(settings(precision="bf16"), topology, device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    tokens = torch.randint(0, 64, (2, 8))
    loss = model(tokens, labels=tokens)
    assert loss.shape == (2, 8)
    assert loss.dtype is torch.float32
    assert model(tokens).dtype is torch.bfloat16


def test_native_attention_refuses_what_it_would_ignore(topology):
    (model,) = build_model(settings(), topology, device="cpu")
    tokens = torch.randint(0, 64, (1, 8))
    with pytest.raises(ValueError, match="a mask of torch.bool .* is not read"):
        model(tokens, None, torch.zeros(1, 1, 8, 8, dtype=torch.bool))


def test_logits_need_the_whole_model(topology):
    first = dataclasses.replace(topology, pp_size=2)
    (model,) = build_model(settings(), first, device="meta")
    with pytest.raises(ValueError, match="pipeline_model_parallel_size=1"):
        model.logits(torch.zeros(1, 4, dtype=torch.int64))


def core(**changes):
    config = transformer_config(settings(parallel=changes.pop("parallel", None)))
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def check(config, backend="gloo", have_transformer_engine=False):
    guards.check(config, backend=backend, have_transformer_engine=have_transformer_engine)


def test_interleaved_schedule_without_overlap_is_refused(topology):
    check(core(parallel=PIPELINE))
    without = dataclasses.replace(PIPELINE, overlap_p2p_comm=False)
    assert any("overlap_p2p_comm=true" in problem for problem in conflicts(settings(parallel=without)))
    two = dataclasses.replace(topology, pp_size=2, vp_size=2)
    with pytest.raises(UserError, match="set parallel.overlap_p2p_comm to true"):
        build_model(settings(parallel=without), two, device="meta")


def test_freeing_sent_activations_over_gloo_needs_the_alias(monkeypatch):
    pipelined = core(parallel=PIPELINE)
    assert pipelined.deallocate_pipeline_outputs
    check(pipelined)
    monkeypatch.setattr(torch.distributed, "isend", adaptor.torch.distributed.isend.__wrapped__)
    with pytest.raises(UserError, match="deallocate_pipeline_outputs=true over gloo"):
        check(pipelined)
    check(pipelined, backend="nccl")


def test_native_fused_cross_entropy_is_refused():
    check(core())
    assert not core().cross_entropy_loss_fusion
    check(core(cross_entropy_loss_fusion=True, cross_entropy_fusion_impl="te"))
    with pytest.raises(UserError, match="gradient is rounded to bf16"):
        check(core(cross_entropy_loss_fusion=True, cross_entropy_fusion_impl="native"))


def test_fp8_without_transformer_engine_is_refused():
    with pytest.raises(UserError, match="unquantised"):
        check(core(fp8="hybrid"))
    check(core(fp8="hybrid"), have_transformer_engine=True)


def test_all_problems_are_listed_together():
    broken = core(parallel=dataclasses.replace(PIPELINE, overlap_p2p_comm=False), fp8="e4m3")
    with pytest.raises(UserError) as error:
        check(broken)
    assert str(error.value).count("\n  - ") == 2


@pytest.mark.parametrize("model", [TE, dataclasses.replace(TE, fp8=None)])
def test_without_transformer_engine_te_and_fp8_name_the_remedy(topology, monkeypatch, model):
    monkeypatch.setitem(sys.modules, "transformer_engine", None)  # importing it fails, also where it is installed
    monkeypatch.setitem(sys.modules, "transformer_engine.pytorch", None)
    for build in (
        lambda: transformer_config(settings(model)),
        lambda: build_model(settings(model), topology, device="meta"),
    ):
        with pytest.raises(UserError, match=r"needs Transformer Engine.*aixmeg\[te\].*layer_set to native"):
            build()
    with pytest.raises(UserError, match="needs Transformer Engine"):
        spec.block_spec(model, 1)


@pytest.mark.parametrize("recipe", ["delayed", "tensorwise", "blockwise", "mxfp8"])
def test_te_settings_reach_megatron_core(monkeypatch, recipe):
    """Transformer Engine cannot be imported beside a CPU torch, so a stand-in lets the configuration be made."""
    for name in ("transformer_engine", "transformer_engine.pytorch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    kept = {} if recipe == "delayed" else {"first_last_layers_bf16": True, "num_layers_at_end_in_bf16": 2}
    model = dataclasses.replace(TE, fp8_recipe=recipe, fp8_margin=1, fp8_amax_history_len=8, **kept)
    config = transformer_config(settings(model, precision="bf16"))
    assert (config.fp8, config.fp8_recipe, config.fp8_margin) == ("hybrid", recipe, 1)
    assert (config.fp8_amax_history_len, config.fp8_amax_compute_algo) == (8, "max")
    assert config.first_last_layers_bf16 == bool(kept)
    assert (config.num_layers_at_start_in_bf16, config.num_layers_at_end_in_bf16) == (1, 2 if kept else 1)
    assert config.transformer_impl == "transformer_engine"
    assert not config.use_te_activation_func
    native = transformer_config(settings())
    assert (native.fp8, native.transformer_impl, native.use_te_activation_func) == (None, "local", True)


def test_te_layers_are_megatron_core_s(monkeypatch):
    """With stand-ins for Transformer Engine's modules: which class of megatron-core fills each slot."""
    for name in ("transformer_engine", "transformer_engine.pytorch"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(core_utils, "_te_version", Version("2.9"))
    # megatron-core imports this name only where Transformer Engine is.
    monkeypatch.setattr(gpt_layer_specs, "TESpecProvider", TESpecProvider, raising=False)
    block = spec.block_spec(TE, 3)
    assert len(block.layer_specs) == 3
    layer = block.layer_specs[0].submodules
    attention, mlp = layer.self_attention.submodules, layer.mlp.submodules
    assert attention.linear_qkv is mlp.linear_fc1 is te_extension.TELayerNormColumnParallelLinear
    assert attention.linear_proj is mlp.linear_fc2 is te_extension.TERowParallelLinear
    assert attention.core_attention is te_extension.TEDotProductAttention
    assert block.layer_norm is te_extension.TENorm
