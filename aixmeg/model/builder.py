"""Configuration + topology → model chunks with their initial weights."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer.enums import AttnBackend
from megatron.core.transformer.transformer_block import get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron.core.transformer.transformer_layer import get_transformer_layer_offset
from torch import Tensor

from aixmeg.config import Config, ModelConfig
from aixmeg.model import guards
from aixmeg.model.code_model import CodeModel
from aixmeg.model.init import initialise
from aixmeg.model.names import count_parameters, named_parameters, parameter_table
from aixmeg.model.spec import block_spec, require_transformer_engine
from aixmeg.parallel import weight_gradient
from aixmeg.parallel.topology import Topology

__all__ = ["CodeModel", "build_model", "count_parameters", "transformer_config"]


def transformer_config(config: Config, *, device: torch.device | str | None = None) -> TransformerConfig:
    """What megatron-core needs to know of the model and of its layout.

    `device` is where the weights will live: the current CUDA device if None (the CPU on a machine without one).
    """
    model, parallel = config.model, config.parallel
    te = model.layer_set == "te"
    if te:
        require_transformer_engine(model)
    if config.train.gradient_accumulation_fusion:
        weight_gradient.install()  # megatron-core's linears refuse the fusion without it
    dtype = torch.bfloat16 if config.train.precision == "bf16" else torch.float32
    pipelined = parallel.pipeline_model_parallel_size > 1
    return TransformerConfig(
        num_layers=model.num_layers,
        hidden_size=model.hidden_size,
        ffn_hidden_size=model.ffn_hidden_size,
        num_attention_heads=model.num_attention_heads,
        num_query_groups=model.num_query_groups,
        kv_channels=model.head_size,
        normalization="RMSNorm",
        layernorm_epsilon=model.layernorm_epsilon,
        gated_linear_unit=True,
        activation_func=F.silu,
        use_te_activation_func=model.layer_set == "native",  # calls the module in the spec's slot: model/mlp.py
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        # Initial weights come from model/init.py; megatron-core's hook still marks the tensor-parallel parameters.
        init_method=_leave,
        output_layer_init_method=_leave,
        embedding_init_method=_leave,
        use_cpu_initialization=_is_elsewhere(device),
        tensor_model_parallel_size=parallel.tensor_model_parallel_size,
        sequence_parallel=parallel.sequence_parallel,
        pipeline_model_parallel_size=parallel.pipeline_model_parallel_size,
        virtual_pipeline_model_parallel_size=parallel.virtual_pipeline_model_parallel_size,
        num_layers_in_first_pipeline_stage=parallel.num_layers_in_first_pipeline_stage,
        num_layers_in_last_pipeline_stage=parallel.num_layers_in_last_pipeline_stage,
        account_for_embedding_in_pipeline_split=parallel.account_for_embedding_in_pipeline_split,
        account_for_loss_in_pipeline_split=parallel.account_for_loss_in_pipeline_split,
        context_parallel_size=parallel.context_parallel_size,
        recompute_granularity=parallel.recompute_granularity,
        recompute_modules=list(parallel.recompute_modules),
        recompute_method=parallel.recompute_method,
        recompute_num_layers=parallel.recompute_num_layers,
        overlap_p2p_comm=parallel.overlap_p2p_comm,
        batch_p2p_comm=not parallel.overlap_p2p_comm,
        deallocate_pipeline_outputs=pipelined,
        params_dtype=dtype,
        pipeline_dtype=dtype,
        bf16=dtype == torch.bfloat16,
        deterministic_mode=config.train.deterministic_mode and _is_cuda(device),
        # megatron-core's FP8 is Transformer Engine's; the native layer set's is in the spec's linears.
        **(_te_fp8(model) if te else {}),
        attention_backend=AttnBackend[model.attention_backend] if te else AttnBackend.auto,
        # Others need apex or Transformer Engine, or compile at the first step for nothing here.
        gradient_accumulation_fusion=config.train.gradient_accumulation_fusion,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        persist_layer_norm=False,
        cuda_graph_scope=[],  # its default is a deprecated spelling of this
        transformer_impl="transformer_engine" if model.layer_set == "te" else "local",
    )


def build_model(config: Config, topology: Topology, *, device: torch.device | str) -> list[CodeModel]:
    """This rank's part of the model, one chunk per virtual pipeline stage, with initial weights.

    The weights depend on `train.seed` and on each parameter's global name, not on the layout. On the meta device they
    are not made.

    Raises:
        UserError: a setting that megatron-core would train wrong with, or Transformer Engine missing.
    """
    device = torch.device(device)
    core = transformer_config(config, device=device)
    guards.check(core, backend=topology.backend, have_transformer_engine=config.model.layer_set == "te")
    chunks = topology.vp_size or 1
    return [_build_chunk(config, core, topology, device, i if chunks > 1 else None) for i in range(chunks)]


def _build_chunk(
    config: Config, core: TransformerConfig, topology: Topology, device: torch.device, vp_stage: int | None
) -> CodeModel:
    model = config.model
    num_layers = get_num_layers_to_build(core, vp_stage=vp_stage, pp_rank=topology.pp_rank)
    first_layer = get_transformer_layer_offset(core, vp_stage=vp_stage, pp_rank=topology.pp_rank)
    with device if core.use_cpu_initialization else contextlib.nullcontext():
        chunk = CodeModel(
            config=core,
            transformer_layer_spec=block_spec(model, num_layers, first_layer=first_layer),  # type: ignore[arg-type]
            vocab_size=model.vocab_size,
            max_sequence_length=model.seq_length,
            pre_process=topology.is_first_chunk(vp_stage),
            post_process=topology.is_last_chunk(vp_stage),
            share_embeddings_and_output_weights=model.share_embeddings_and_output_weights,
            position_embedding_type="rope" if model.layer_set == "te" else "none",
            rotary_base=model.rotary_base,  # type: ignore[arg-type] (a float where megatron-core says int)
            pg_collection=topology.groups,
            vp_stage=vp_stage,
        )
    chunk.cross_entropy_chunk_rows = config.train.cross_entropy_chunk_rows
    chunk.loss_terms = config.loss
    chunk.first_layer = first_layer
    if device.type != "meta":
        _initialise(chunk, config, topology)
    return chunk


def _te_fp8(model: ModelConfig) -> dict[str, Any]:
    """Transformer Engine's FP8 as megatron-core's fields."""
    return {
        "fp8": model.fp8,
        "fp8_recipe": model.fp8_recipe,
        "fp8_margin": model.fp8_margin,
        "fp8_amax_history_len": model.fp8_amax_history_len,
        "fp8_amax_compute_algo": "max",
        "first_last_layers_bf16": model.first_last_layers_bf16,
        "num_layers_at_start_in_bf16": model.num_layers_at_start_in_bf16,
        "num_layers_at_end_in_bf16": model.num_layers_at_end_in_bf16,
    }


def _initialise(chunk: CodeModel, config: Config, topology: Topology) -> None:
    table = parameter_table(config.model)
    for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer):
        if tuple(parameter.shape) != info.local_shape(topology.tp_size):
            raise RuntimeError(f"{info.name} has shape {tuple(parameter.shape)}, the table says {info}")
        initialise(parameter, info, config.train.seed, tp_rank=topology.tp_rank, tp_size=topology.tp_size)


def _leave(weight: Tensor) -> Tensor:
    return weight


def _is_cuda(device: torch.device | str | None) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _is_elsewhere(device: torch.device | str | None) -> bool:
    """Whether `device` differs from the one that megatron-core would allocate on by itself."""
    if device is None:
        return False
    kind = torch.device(device).type
    return kind == "meta" or (kind == "cpu" and torch.cuda.is_available())
