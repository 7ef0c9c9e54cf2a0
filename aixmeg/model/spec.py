"""The two layer sets: which module fills each of megatron-core's slots."""

from __future__ import annotations

import functools
import importlib

from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_with_transformer_engine_spec
from megatron.core.transformer.attention import SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLP, MLPSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules
from megatron.core.transformer.transformer_layer import TransformerLayerSubmodules

from aixmeg.config import ModelConfig
from aixmeg.errors import UserError
from aixmeg.model.attention import RotaryAttention, RotarySelfAttention
from aixmeg.model.fp8 import Fp8ColumnParallelLinear, Fp8RowParallelLinear
from aixmeg.model.fp8_scaling import Fp8Options
from aixmeg.model.layer import FusedNormLayer
from aixmeg.model.linear import ColumnLinear, RowLinear
from aixmeg.model.mlp import DeferredSwiGLU, SwiGLU
from aixmeg.model.norm import RMSNorm


def block_spec(config: ModelConfig, num_layers: int, *, first_layer: int = 0) -> TransformerBlockSubmodules:
    """The modules of `num_layers` layers, the first of which is the model's `first_layer`, and of the last norm.

    Raises:
        UserError: layer_set=te where Transformer Engine cannot be imported.
    """
    if config.layer_set == "te":
        require_transformer_engine(config)
        return _te(num_layers)
    kept, quantised = (_native(config, fp8) for fp8 in (None, fp8_options(config)))
    specs = [quantised if in_fp8(config, first_layer + index) else kept for index in range(num_layers)]
    return TransformerBlockSubmodules(layer_specs=specs, layer_norm=RMSNorm)  # type: ignore[arg-type]


def fp8_options(config: ModelConfig) -> Fp8Options | None:
    """What the native FP8 linears are told; None where they are not used."""
    if config.fp8 is None or config.layer_set != "native":
        return None
    return Fp8Options(
        recipe=config.fp8_recipe,  # type: ignore[arg-type] (config/fp8.py refuses the recipes of Transformer Engine)
        hybrid=config.fp8 == "hybrid",
        margin=config.fp8_margin,
        amax_history_len=config.fp8_amax_history_len,
        keep_weights=config.fp8_keep_weights,
    )


def in_fp8(config: ModelConfig, layer: int) -> bool:
    """Whether a layer, counted from 0 over the model, has FP8 linears."""
    if config.fp8 is None or not config.first_last_layers_bf16:
        return config.fp8 is not None
    return config.num_layers_at_start_in_bf16 <= layer < config.num_layers - config.num_layers_at_end_in_bf16


def _native(config: ModelConfig, fp8: Fp8Options | None) -> ModuleSpec:
    """One layer. Delayed scaling knows the scale of SwiGLU's output beforehand, so the two happen in one pass."""
    fused = fp8 is not None and fp8.recipe == "delayed"
    qkv, fc1, proj, fc2 = ColumnLinear, ColumnLinear, RowLinear, RowLinear
    if fp8 is not None:
        qkv = functools.partial(Fp8ColumnParallelLinear, fp8=fp8)  # this slot takes a function, the others a spec
        fc1 = ModuleSpec(module=Fp8ColumnParallelLinear, params={"fp8": fp8})
        proj = ModuleSpec(module=Fp8RowParallelLinear, params={"fp8": fp8})
        fc2 = ModuleSpec(module=Fp8RowParallelLinear, params={"fp8": fp8, "gated": fused})
    attention = SelfAttentionSubmodules(
        linear_qkv=qkv,
        core_attention=functools.partial(
            RotaryAttention,
            rotary_base=config.rotary_base,
            max_sequence_length=config.seq_length,
            backend=config.attention_backend,
        ),
        linear_proj=proj,
        q_layernorm=IdentityOp,
        k_layernorm=IdentityOp,
    )
    activation = DeferredSwiGLU if fused else SwiGLU
    mlp = MLPSubmodules(linear_fc1=fc1, activation_func=activation, linear_fc2=fc2)
    layer = TransformerLayerSubmodules(
        input_layernorm=RMSNorm,
        self_attention=ModuleSpec(
            module=RotarySelfAttention, params={"attn_mask_type": AttnMaskType.causal}, submodules=attention
        ),
        self_attn_bda=get_bias_dropout_add,  # type: ignore[arg-type] (FusedNormLayer's own takes its place)
        pre_mlp_layernorm=RMSNorm,
        mlp=ModuleSpec(module=MLP, submodules=mlp),
        mlp_bda=get_bias_dropout_add,  # type: ignore[arg-type] (slots take functions, unlike their annotation)
        # Checkpoints name the norms as Transformer Engine's fused modules do, so that one layer set loads the other's.
        sharded_state_dict_keys_map={
            "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
            "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
        },
    )
    return ModuleSpec(module=FusedNormLayer, submodules=layer)


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
