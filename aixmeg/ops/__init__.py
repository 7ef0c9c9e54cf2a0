"""The fused kernels of csrc/ as differentiable functions, each with its reference in plain torch.

One file per op: reference, checks, fake (shapes without data), autograd. torch's dispatcher picks the CPU or the CUDA
kernel by the tensor's device; `resolved()` tells which of them this process has. Nothing falls back silently: without
the built extension every op raises a UserError with the build command.
"""

from aixmeg.ops.cross_entropy import reference_cross_entropy, vocab_parallel_cross_entropy
from aixmeg.ops.library import load, resolved
from aixmeg.ops.linear_cross_entropy import linear_cross_entropy, reference_linear_cross_entropy
from aixmeg.ops.rms_norm import reference_rms_norm, rms_norm
from aixmeg.ops.rotary import reference_rotary, rotary, rotary_tables
from aixmeg.ops.swiglu import reference_swiglu, swiglu

__all__ = [
    "linear_cross_entropy",
    "load",
    "reference_cross_entropy",
    "reference_linear_cross_entropy",
    "reference_rms_norm",
    "reference_rotary",
    "reference_swiglu",
    "resolved",
    "rms_norm",
    "rotary",
    "rotary_tables",
    "swiglu",
    "vocab_parallel_cross_entropy",
]
