"""The two layer sets: which module fills each of megatron-core's slots."""

from __future__ import annotations

import functools
import importlib

from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_with_transformer_engine_spec
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer.attention import SelfAttention, SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLP, MLPSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules

from aixmeg.config import ModelConfig
from aixmeg.errors import UserError
from aixmeg.model.attention import RotaryAttention
from aixmeg.model.mlp import SwiGLU
from aixmeg.model.norm import RMSNorm


def block_spec(config: ModelConfig, num_layers: int) -> TransformerBlockSubmodules:
    """The modules of `num_layers` layers and of the norm behind the last one.

    Raises:
        UserError: layer_set=te where Transformer Engine cannot be imported.
    """
    if config.layer_set == "te":
        require_transformer_engine(config)
        return _te(num_layers)
    return _native(config, num_layers)


def _native(config: ModelConfig, num_layers: int) -> TransformerBlockSubmodules:
    attention = SelfAttentionSubmodules(
        linear_qkv=ColumnParallelLinear,
        core_attention=functools.partial(
            RotaryAttention, rotary_base=config.rotary_base, max_sequence_length=config.seq_length
        ),
        linear_proj=RowParallelLinear,
        q_layernorm=IdentityOp,
        k_layernorm=IdentityOp,
    )
    mlp = MLPSubmodules(linear_fc1=ColumnParallelLinear, activation_func=SwiGLU, linear_fc2=RowParallelLinear)
    layer = TransformerLayerSubmodules(
        input_layernorm=RMSNorm,
        self_attention=ModuleSpec(
            module=SelfAttention, params={"attn_mask_type": AttnMaskType.causal}, submodules=attention
        ),
        self_attn_bda=get_bias_dropout_add,  # type: ignore[arg-type] (slots take functions, unlike their annotation)
        pre_mlp_layernorm=RMSNorm,
        mlp=ModuleSpec(module=MLP, submodules=mlp),
        mlp_bda=get_bias_dropout_add,  # type: ignore[arg-type]
        # Checkpoints name the norms as Transformer Engine's fused modules do, so that one layer set loads the other's.
        sharded_state_dict_keys_map={
            "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
            "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
        },
    )
    spec = ModuleSpec(module=TransformerLayer, submodules=layer)
    return TransformerBlockSubmodules(layer_specs=[spec] * num_layers, layer_norm=RMSNorm)  # type: ignore[arg-type]


def _te(num_layers: int) -> TransformerBlockSubmodules:
    """Transformer Engine's modules as megatron-core wires them: norm fused into the linear layer that follows,
    its attention, FP8 by the recipe in the configuration.

    Transformer Engine needs a CUDA build of torch, so no test of this repository's CPU suite executes this function
    past its import; what they do check is the error without it and the fields of the configuration.
    """
    from megatron.core.extensions.transformer_engine import TENorm

    spec = get_gpt_layer_with_transformer_engine_spec()
    return TransformerBlockSubmodules(layer_specs=[spec] * num_layers, layer_norm=TENorm)  # type: ignore[arg-type]


def require_transformer_engine(config: ModelConfig) -> None:
    """Refuse `layer_set=te` or FP8 where Transformer Engine is missing.

    megatron-core itself does not refuse: with FP8 asked for and no Transformer Engine it trains unquantised.

    Raises:
        UserError: Transformer Engine cannot be imported.
    """
    try:
        importlib.import_module("transformer_engine.pytorch")
    except (ImportError, OSError, RuntimeError) as error:  # a wheel without its CUDA libraries fails in all three ways
        wanted = f"model.layer_set={config.layer_set}" + (f", model.fp8={config.fp8}" if config.fp8 else "")
        raise UserError(
            f"{wanted} needs Transformer Engine, which cannot be imported here ({error}); on a CUDA machine install "
            "aixmeg[te], or set model.layer_set to native and model.fp8 to null"
        ) from error
