"""RMSNorm: y = x / sqrt(mean(x²) + eps) · weight, over the last dimension. Source: arXiv:1910.07467.

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
    if x.dim() == 0 or weight.shape != x.shape[-1:]:
        raise UserError(
            f"rms_norm: weight has shape {list(weight.shape)}, x {list(x.shape)}; weight must have x's last size"
        )
    if eps < 0:
        raise UserError(f"rms_norm: eps={eps} is negative; use a small positive number such as 1e-5")
    return torch.ops.aixmeg.rms_norm_forward(x, weight, eps)[0]


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


if library.is_loaded():
    torch.library.register_fake("aixmeg::rms_norm_forward", _fake_forward)
    torch.library.register_fake("aixmeg::rms_norm_backward", _fake_backward)
    torch.library.register_autograd("aixmeg::rms_norm_forward", _gradient, setup_context=_save)
