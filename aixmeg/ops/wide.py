"""bf16 products on processors without bf16 instructions: float32 operands, the result rounded once.

There torch's bf16 products run at a tenth of float32's speed, and bf16 attention's backward pass at an eighth (measured
with AVX2: docs/cpu_speed.md). A product of two bf16 numbers is exact in float32, so the result is what
instructions for bf16 that sum in float32 would give, but for the order of the sum.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.cache
def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products in bf16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def is_slow(operand: Tensor) -> bool:
    """Whether products of this tensor are faster in float32."""
    return operand.dtype == torch.bfloat16 and operand.device.type == "cpu" and not multiplies_bf16()


def widened(operand: Tensor) -> Tensor:
    """The operand as it is best multiplied: itself, or a float32 copy."""
    return operand.float() if is_slow(operand) else operand
