"""SwiGLU: y = silu(gate) · up, gate and up being the two halves of the input. Source: arXiv:2002.05202.

Shapes: f feed-forward width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops import library


def reference_swiglu(x: Tensor) -> Tensor:
    """The definition in plain torch, in the input's dtype: x [..., 2f] -> [..., f]."""
    gate, up = x.chunk(2, dim=-1)
    return gate * torch.sigmoid(gate) * up


def swiglu(x: Tensor) -> Tensor:
    """Fused SwiGLU, computed in float32 and rounded once.

    Args:
        x: [..., 2f], gate in the first half, up in the second; float32 or bfloat16, any strides.

    Returns:
        [..., f], dense, the dtype of x; differentiable.

    Raises:
        UserError: the last size is odd, the dtype has no kernel, or the extension is not built.
    """
    library.check_kernel_input("swiglu", "x", x)
    if x.dim() == 0 or x.shape[-1] % 2 != 0:
        raise UserError(f"swiglu: x has shape {list(x.shape)}; its last size must be even (gate and up side by side)")
    return torch.ops.aixmeg.swiglu_forward(x)


def _fake_forward(x: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], x.shape[-1] // 2))


def _fake_backward(dy: Tensor, x: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, dy: Tensor) -> Tensor:
    return torch.ops.aixmeg.swiglu_backward(dy, *ctx.saved_tensors)


if library.is_loaded():
    torch.library.register_fake("aixmeg::swiglu_forward", _fake_forward)
    torch.library.register_fake("aixmeg::swiglu_backward", _fake_backward)
    torch.library.register_autograd("aixmeg::swiglu_forward", _gradient, setup_context=_save)
