"""Rotary position embedding in the half-split ("rotate half") form of Llama. Source: arXiv:2104.09864.

The pair (x_i, x_{i + hn/2}) of every head is turned by the angle position · base^(-2i/hn).
Shapes: s sequence, b batch, np heads (query heads, or the fewer key heads of grouped-query attention), hn head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops import library


def rotary_tables(
    seq_length: int, head_size: int, base: float, *, offset: int = 0, device: torch.device | str | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the positions offset … offset + seq_length - 1: two float32 tensors [s, hn/2].

    The angles are computed in float32, as transformers and megatron-core do: exact angles would be off from what a
    Llama implementation computes at inference by up to 1e-3 at position 32,768.

    Raises:
        UserError: odd head_size, or a negative size, offset or base.
    """
    if head_size <= 0 or head_size % 2 != 0:
        raise UserError(f"rotary_tables: head_size={head_size} must be even and positive, for each pair turns together")
    if seq_length < 0 or offset < 0 or base <= 0:
        raise UserError(
            f"rotary_tables: seq_length={seq_length} and offset={offset} must not be negative, base={base} be positive"
        )
    exponents = torch.arange(0, head_size, 2, dtype=torch.float32, device=device) / head_size
    positions = torch.arange(offset, offset + seq_length, dtype=torch.float32, device=device)
    angles = torch.outer(positions, 1.0 / (base**exponents))  # [s, hn/2]
    return angles.cos(), angles.sin()


def reference_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The definition in plain torch, in the inputs' dtype: x [s, b, np, hn], cos and sin [s, hn/2]."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[:, None, None, :], sin[:, None, None, :]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Fused rotary embedding, computed in float32 and rounded once.

    Args:
        x: [s, b, np, hn], float32 or bfloat16, any strides: a query or key slice of a joint projection is read in
            place when its last dimension is dense. np may differ between queries and keys.
        cos: [s, hn/2] float32, from `rotary_tables`.
        sin: [s, hn/2] float32.

    Returns:
        [s, b, np, hn], dense, the dtype of x; differentiable in x.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
    """
    library.check_kernel_input("rotary", "x", x)
    if x.dim() != 4 or x.shape[-1] % 2 != 0:
        raise UserError(f"rotary: x has shape {list(x.shape)}; it must be [s, b, np, hn] with an even hn")
    expected = (x.shape[0], x.shape[-1] // 2)
    for name, table in (("cos", cos), ("sin", sin)):
        if tuple(table.shape) != expected or table.dtype != torch.float32 or table.device != x.device:
            raise UserError(
                f"rotary: {name} is {table.dtype} {list(table.shape)} on {table.device}; x {list(x.shape)} on "
                f"{x.device} needs torch.float32 {list(expected)} there (see rotary_tables)"
            )
    return torch.ops.aixmeg.rotary(x, cos, sin, False)


def _fake(x: Tensor, cos: Tensor, sin: Tensor, inverse: bool) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
    _, cos, sin, ctx.inverse = inputs
    ctx.save_for_backward(cos, sin)


def _gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
    cos, sin = ctx.saved_tensors
    return torch.ops.aixmeg.rotary(dy, cos, sin, not ctx.inverse), None, None, None  # a rotation's transpose


if library.is_loaded():
    torch.library.register_fake("aixmeg::rotary", _fake)
    torch.library.register_autograd("aixmeg::rotary", _gradient, setup_context=_save)
