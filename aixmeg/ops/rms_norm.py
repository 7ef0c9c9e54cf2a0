"""RMSNorm: y = x / sqrt(mean(x²) + eps) · weight, over the last dimension. Source: arXiv:1910.07467.

Also of a residual sum, in one pass with the addition.

Shapes: h hidden.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops import library


def reference_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """The definition in plain torch, in the inputs' dtype: x [..., h], weight [h] -> [..., h]."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def reference_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The definition in plain torch, in the inputs' dtype: x, residual [..., h], weight [h] -> two of [..., h]."""
    total = x + residual
    return reference_rms_norm(total, weight, eps), total


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Fused RMSNorm, computed in float32 and rounded once.

    Args:
        x: [..., h], float32 or bfloat16, any strides.
        weight: [h], the same dtype and device.
        eps: added to the mean square; not negative.

    Returns:
        [..., h], dense, the dtype of x; differentiable in x and weight.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
    """
    library.check_kernel_input("rms_norm", "x", x)
    library.check_same_kind("rms_norm", x=x, weight=weight)
    _check("rms_norm", x, weight, eps)
    return torch.ops.aixmeg.rms_norm_forward(x, weight, eps)[0]


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Fused residual addition and RMSNorm: four passes over memory instead of five, and four instead of six backward.

    The sum is rounded to the dtype of x and then normalised, so that both results are bit for bit those of `x +
    residual` and `rms_norm`; the backward pass rounds the gradient once where the separate ops round it twice.

    Args:
        x: [..., h], what a layer adds to the residual stream; float32 or bfloat16, any strides.
        residual: [..., h], the stream; the same shape, dtype and device.
        weight: [h], the same dtype and device.
        eps: added to the mean square; not negative.

    Returns:
        The norm of the sum and the sum, [..., h] each, dense; differentiable in x, residual and weight.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
    """
    library.check_kernel_input("add_rms_norm", "x", x)
    library.check_same_kind("add_rms_norm", x=x, residual=residual, weight=weight)
    _check("add_rms_norm", x, weight, eps)
    if x.shape != residual.shape:
        raise UserError(
            f"add_rms_norm: residual has shape {list(residual.shape)}, x {list(x.shape)}; they must be equal"
        )
    normed, total, _ = torch.ops.aixmeg.add_rms_norm_forward(x, residual, weight, eps)
    return normed, total


def _check(op: str, x: Tensor, weight: Tensor, eps: float) -> None:
    if x.dim() == 0 or weight.shape != x.shape[-1:]:
        raise UserError(
            f"{op}: weight has shape {list(weight.shape)}, x {list(x.shape)}; weight must have x's last size"
        )
    if eps < 0:
        raise UserError(f"{op}: eps={eps} is negative; use a small positive number such as 1e-5")


def _fake_forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    rows = x.numel() // x.shape[-1] if x.shape[-1] != 0 else 0
    return x.new_empty(x.shape), x.new_empty((rows,), dtype=torch.float32)


def _fake_backward(dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
    x, weight, _ = inputs
    _, rstd = output
    ctx.save_for_backward(x, weight, rstd)
    ctx.mark_non_differentiable(rstd)
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, dy: Tensor | None, _: None) -> tuple[Tensor | None, Tensor | None, None]:
    if dy is None:
        return None, None, None
    return *torch.ops.aixmeg.rms_norm_backward(dy, *ctx.saved_tensors), None


def _fake_add_forward(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    normed, rstd = _fake_forward(x, weight, eps)
    return normed, x.new_empty(x.shape), rstd


def _fake_add_backward(dy: Tensor, dsum: Tensor, total: Tensor, weight: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    return _fake_backward(dy, total, weight, rstd)


def _save_add(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, float], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, _, weight, _ = inputs
    _, total, rstd = output
    ctx.save_for_backward(total, weight, rstd)
    ctx.mark_non_differentiable(rstd)
    ctx.set_materialize_grads(False)


def _add_gradient(
    ctx: Any, dy: Tensor | None, dsum: Tensor | None, _: None
) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    if dy is None:
        return dsum, dsum, None, None
    if dsum is None:
        dx, dweight = torch.ops.aixmeg.rms_norm_backward(dy, *ctx.saved_tensors)
    else:
        dx, dweight = torch.ops.aixmeg.add_rms_norm_backward(dy, dsum, *ctx.saved_tensors)
    return dx, dx, dweight, None


if library.is_loaded():
    torch.library.register_fake("aixmeg::add_rms_norm_forward", _fake_add_forward)
    torch.library.register_fake("aixmeg::add_rms_norm_backward", _fake_add_backward)
    torch.library.register_autograd("aixmeg::add_rms_norm_forward", _add_gradient, setup_context=_save_add)
    torch.library.register_fake("aixmeg::rms_norm_forward", _fake_forward)
    torch.library.register_fake("aixmeg::rms_norm_backward", _fake_backward)
    torch.library.register_autograd("aixmeg::rms_norm_forward", _gradient, setup_context=_save)
