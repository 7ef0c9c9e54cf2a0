"""The fused kernels of csrc/ as differentiable functions, each with its reference in plain torch.

One file per op: reference, checks, fake (shapes without data), autograd. torch's dispatcher picks the CPU or the CUDA
kernel by the tensor's device; `resolved()` tells which of them this process has. Nothing falls back silently: without
the built extension every op raises a UserError with the build command.
"""

from aixmeg.ops.cross_entropy import reference_cross_entropy, vocab_parallel_cross_entropy
from aixmeg.ops.fp8 import (
    fp8_amax,
    fp8_quantize,
    fp8_quantize_transpose,
    fp8_scale,
    fp8_update_history,
    reference_fp8_quantize,
    reference_fp8_scale,
    swiglu_fp8,
)
from aixmeg.ops.library import load, resolved
from aixmeg.ops.linear_cross_entropy import linear_cross_entropy, reference_linear_cross_entropy
from aixmeg.ops.optimizer import multi_tensor_adamw, multi_tensor_l2_norm, multi_tensor_scale, reference_adamw
from aixmeg.ops.rms_norm import add_rms_norm, reference_add_rms_norm, reference_rms_norm, rms_norm
from aixmeg.ops.rotary import reference_rotary, reference_rotary_qkv, rotary, rotary_qkv, rotary_tables
from aixmeg.ops.swiglu import reference_swiglu, swiglu
from aixmeg.ops.weight_gradient import reference_wgrad_gemm_accum, wgrad_gemm_accum

__all__ = [
    "add_rms_norm",
    "fp8_amax",
    "fp8_quantize",
    "fp8_quantize_transpose",
    "fp8_scale",
    "fp8_update_history",
    "linear_cross_entropy",
    "load",
    "multi_tensor_adamw",
    "multi_tensor_l2_norm",
    "multi_tensor_scale",
    "reference_adamw",
    "reference_add_rms_norm",
    "reference_cross_entropy",
    "reference_fp8_quantize",
    "reference_fp8_scale",
    "reference_linear_cross_entropy",
    "reference_rms_norm",
    "reference_rotary",
    "reference_rotary_qkv",
    "reference_swiglu",
    "reference_wgrad_gemm_accum",
    "resolved",
    "rms_norm",
    "rotary",
    "rotary_qkv",
    "rotary_tables",
    "swiglu",
    "swiglu_fp8",
    "vocab_parallel_cross_entropy",
    "wgrad_gemm_accum",
]
