"""megatron-core's `gradient_accumulation_fusion` without apex.

With that option its tensor-parallel linear layers call `fused_weight_gradient_mlp_cuda`, a module of apex's, to add the
weight gradient to the float32 `main_grad` instead of making one in the model's dtype that is added later. `install`
offers a module of that name over `aixmeg.ops.weight_gradient` where apex's is not installed.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types

from torch import Tensor

from aixmeg.ops.weight_gradient import wgrad_gemm_accum

NAME = "fused_weight_gradient_mlp_cuda"


def wgrad_gemm_accum_fp32(x: Tensor, dy: Tensor, main_grad: Tensor) -> None:
    """main_grad [o, h] float32 += dy [n, o]ᵀ · x [n, h]; see `wgrad_gemm_accum`."""
    wgrad_gemm_accum(x, dy, main_grad)


def wgrad_gemm_accum_fp16(x: Tensor, dy: Tensor, main_grad: Tensor) -> None:
    """The same for a `main_grad` of the dtype of x."""
    wgrad_gemm_accum(x, dy, main_grad)


@functools.cache
def install() -> bool:
    """Offer ours unless apex's is there; True if ours is. Before layers with the option are built."""
    if NAME in sys.modules or importlib.util.find_spec(NAME) is not None:
        return False
    module = types.ModuleType(NAME, __doc__)
    module.wgrad_gemm_accum_fp32 = wgrad_gemm_accum_fp32  # type: ignore[attr-defined]
    module.wgrad_gemm_accum_fp16 = wgrad_gemm_accum_fp16  # type: ignore[attr-defined]
    sys.modules[NAME] = module

    from megatron.core.tensor_parallel import layers

    layers.fused_weight_gradient_mlp_cuda = module
    layers._grad_accum_fusion_available = True
    return True
