"""Matrix products on the CPU where torch's own choice of library or dtype is a slow one. Figures: docs/cpu_speed.md.

- bf16 on processors without bf16 instructions: torch's products run at a tenth of float32's speed, and bf16
  attention's backward pass at an eighth. The operands are widened and the result is rounded once. A product of two bf16
  numbers is exact in float32, so the result is what instructions for bf16 that sum in float32 would give, but for the
  order of the sum.
- float32 where MKL leaves AVX-512 unused, which it takes on Intel's processors only: oneDNN, which torch brings along,
  takes it everywhere, and is twice as fast.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor

_SMALLEST = 1 << 21
"""Multiplications from which oneDNN wins; below, what it does before each product weighs more."""
_COPY_BYTES = 4 << 20
"""Of one piece of a product that is added to something: oneDNN puts it down before it is added."""


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


@functools.cache
def mkl_leaves_avx512() -> bool:
    """Whether float32 products go to MKL on a processor whose AVX-512 it does not use, and oneDNN is there."""
    backends = torch.backends.mkl.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return backends and torch.cpu._is_avx512_supported() and _vendor() not in {"GenuineIntel", ""}


def in_onednn(operand: Tensor) -> bool:
    """Whether products of this tensor are faster by oneDNN, if they are large."""
    plain = operand.dtype == torch.float32 and operand.device.type == "cpu" and not torch.compiler.is_compiling()
    return plain and mkl_leaves_avx512()


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a [m, k] · b [k, n], both of one dtype, for code that differentiates itself: autograd does not see it."""
    if in_onednn(a) and a.shape[0] * b.numel() >= _SMALLEST:
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")
    return a @ b


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total [m, n] += a [m, k] · b [k, n] in place, all float32; at most 4 MB are needed beside."""
    if not in_onednn(a) or a.numel() * b.shape[1] < _SMALLEST:
        total.addmm_(a, b)
        return
    step = max(1, _COPY_BYTES // (4 * total.shape[1]))
    for rows, factor in zip(total.split(step), a.split(step), strict=True):
        rows.add_(multiply(factor, b))


def _vendor() -> str:
    """As the processor tells it, or nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")
