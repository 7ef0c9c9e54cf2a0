"""Settings that megatron-core 0.16.1 accepts and computes wrongly, or not at all, without an error: refused here.

`config/validate.py` refuses what a user can write; these guards stand where the model is built, for every other way
to a TransformerConfig.
"""

from __future__ import annotations

from megatron.core.transformer.transformer_config import TransformerConfig

from aixmeg.errors import UserError
from aixmeg.parallel import adaptor


def check(config: TransformerConfig, *, backend: str, have_transformer_engine: bool) -> None:
    """Refuse a configuration that would train silently wrong.

    Raises:
        UserError: names the setting, what would go wrong and the remedy; all of them when there are several.
    """
    problems = []
    if config.virtual_pipeline_model_parallel_size is not None and not config.overlap_p2p_comm:
        problems.append(
            f"virtual_pipeline_model_parallel_size={config.virtual_pipeline_model_parallel_size} with "
            "overlap_p2p_comm=false: the interleaved schedule returns gradients wrong by up to a hundred times; "
            "set parallel.overlap_p2p_comm to true"
        )
    if config.deallocate_pipeline_outputs and backend == "gloo" and not adaptor.sends_are_aliased():
        problems.append(
            "deallocate_pipeline_outputs=true over gloo: activations are freed while they are being sent and arrive "
            "corrupt; import aixmeg.parallel before training, or use nccl"
        )
    if config.cross_entropy_loss_fusion and config.cross_entropy_fusion_impl == "native":
        problems.append(
            "cross_entropy_loss_fusion=true with cross_entropy_fusion_impl=native: the gradient is rounded to bf16 "
            "whatever the precision; leave the fusion off, the loss uses the kernel of csrc/"
        )
    if (config.fp8 or config.fp4) and not have_transformer_engine:
        problems.append(
            f"fp8={config.fp8}, fp4={config.fp4} without Transformer Engine's layers: training would run unquantised; "
            "set model.layer_set to te, or model.fp8 to null"
        )
    if problems:
        raise UserError(
            "megatron-core would train wrong with these settings:\n" + "\n".join(f"  - {p}" for p in problems)
        )
