"""Weight gradient of a linear layer, added to a float32 accumulator: main_grad += dyᵀ · x.

The product is never rounded to bfloat16. On CUDA the library accumulates into float32; on the CPU none does, so there
the work is csrc/cpu/avx512_bf16.cpp's where the processor multiplies bfloat16, else the inputs are widened. All other
products are torch's.
Shapes: n tokens, h input width, o output width.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops import library
from aixmeg.ops.products import add_product


def reference_wgrad_gemm_accum(x: Tensor, dy: Tensor, main_grad: Tensor) -> Tensor:
    """The definition in plain torch: the new accumulator, in its dtype."""
    return main_grad + dy.flatten(0, -2).to(main_grad.dtype).t() @ x.flatten(0, -2).to(main_grad.dtype)


def wgrad_gemm_accum(x: Tensor, dy: Tensor, main_grad: Tensor) -> None:
    """Add a linear layer's weight gradient to `main_grad`, in place.

    Args:
        x: [..., h], the layer's input, float32 or bfloat16.
        dy: [..., o], the gradient of its output, the dtype of x.
        main_grad: [o, h] float32, or the dtype of x (then each call rounds to it).

    Raises:
        UserError: shapes, dtypes or devices do not fit.
    """
    _check(x, dy, main_grad)
    rows, columns = dy.flatten(0, -2), x.flatten(0, -2)  # [n, o], [n, h]
    with torch.no_grad():
        if main_grad.dtype == x.dtype == torch.float32 and not x.is_cuda:
            add_product(main_grad, rows.t(), columns)
        elif main_grad.dtype == x.dtype:
            torch.addmm(main_grad, rows.t(), columns, out=main_grad)
        elif x.is_cuda and not _adds_to_float32(x.device):
            main_grad.add_(torch.mm(rows.t(), columns, out_dtype=main_grad.dtype))
        elif x.is_cuda:
            torch.ops.aten.addmm.dtype_out(main_grad, rows.t(), columns, main_grad.dtype, out=main_grad)
        elif _in_bf16(main_grad):
            torch.ops.aixmeg.wgrad_bf16_accum(columns, rows, main_grad)
        else:
            add_product(main_grad, rows.t().float(), columns.float())


def _in_bf16(main_grad: Tensor) -> bool:
    return main_grad.is_contiguous() and library.is_loaded() and torch.ops.aixmeg.has_wgrad_bf16()


@functools.cache
def _adds_to_float32(device: torch.device) -> bool:
    """Whether this torch adds a bf16 product to a float32 matrix: 2.9 wanted both in one dtype, 2.13 does not."""
    factor, total = (torch.zeros(16, 16, dtype=dtype, device=device) for dtype in (torch.bfloat16, torch.float32))
    try:
        torch.ops.aten.addmm.dtype_out(total, factor, factor, total.dtype, out=total)
    except RuntimeError:
        return False
    return True


def stand_in(parameter: Any) -> Tensor | None:
    """What autograd gets for a gradient that is in `main_grad` already.

    megatron-core's hook waits for some gradient, and reads it only if `zero_out_wgrad` says that another use of the
    weight (tied embeddings) adds to it.
    """
    if not hasattr(parameter, "grad_added_to_main_grad"):
        return None
    parameter.grad_added_to_main_grad = True
    make = torch.zeros_like if getattr(parameter, "zero_out_wgrad", False) else torch.empty_like
    return make(parameter)


def _check(x: Tensor, dy: Tensor, main_grad: Tensor) -> None:
    name = "wgrad_gemm_accum"
    if x.dtype not in (torch.float32, torch.bfloat16) or dy.dtype != x.dtype:
        raise UserError(f"{name}: x is {x.dtype}, dy {dy.dtype}; both must be torch.float32 or both torch.bfloat16")
    if main_grad.dtype not in (torch.float32, x.dtype):
        raise UserError(f"{name}: main_grad is {main_grad.dtype}; it must be torch.float32 or {x.dtype}, that of x")
    if not x.device == dy.device == main_grad.device:
        raise UserError(f"{name}: x is on {x.device}, dy on {dy.device}, main_grad on {main_grad.device}")
    if x.dim() < 2 or dy.shape[:-1] != x.shape[:-1] or main_grad.shape != (dy.shape[-1], x.shape[-1]):
        raise UserError(
            f"{name}: x has shape {list(x.shape)}, dy {list(dy.shape)}, main_grad {list(main_grad.shape)}; "
            "they must be [..., h], [..., o] and [o, h]"
        )


if library.is_loaded():
    torch.library.register_fake("aixmeg::wgrad_bf16_accum", lambda *arguments: None)
