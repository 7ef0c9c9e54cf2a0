"""Rotary position embedding in the half-split ("rotate half") form of Llama. Source: arXiv:2104.09864.

The pair (x_i, x_{i + hn/2}) of every head is turned by the angle position · base^(-2i/hn).
Shapes: s sequence, b batch, np heads (query heads, or the fewer key heads of grouped-query attention), hn head size;
ng groups: key heads, each with a value and np/ng query heads; p rows of the tables.
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


def reference_rotary_qkv(
    mixed_qkv: Tensor, cos: Tensor, sin: Tensor, *, positions: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The definition in plain torch, in the inputs' dtype; see `rotary_qkv`."""
    s, b = mixed_qkv.shape[:2]
    heads = mixed_qkv.unflatten(-1, (-1, 2 * cos.shape[1]))  # [s, b, ng, np/ng + 2, hn]
    if positions is None:
        positions = torch.arange(s, device=mixed_qkv.device)
    rows = positions if positions.dim() == 2 else positions[:, None].expand(s, b)
    cos, sin = cos[rows][:, :, None, None], sin[rows][:, :, None, None]  # [s, b, 1, 1, hn/2]
    first, second = heads[..., :-1, :].chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned[..., :-1, :].flatten(2, 3), turned[..., -1, :], heads[..., -1, :]


def rotary_qkv(
    mixed_qkv: Tensor, cos: Tensor, sin: Tensor, *, positions: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values out of megatron-core's packed projection, queries and keys turned, in one pass.

    Args:
        mixed_qkv: [s, b, ng, (np/ng + 2)·hn], per group its query heads, its key, its value; float32 or bfloat16.
        cos: [p, hn/2] float32, from `rotary_tables`; hn is read from it.
        sin: [p, hn/2] float32.
        positions: the row of the tables for each token, int64 [s, b], or [s] where all sequences share it: positions
            that restart at each document of a packed sequence, or those of a context-parallel rank. None means
            0 … s - 1; for a plain offset pass `cos[offset:]`.

    Returns:
        q [s, b, np, hn], k and v [s, b, ng, hn], dense; differentiable in mixed_qkv. On CUDA, where looking would
        stall the GPU, queries and keys of a position outside the tables are NaN.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
        RuntimeError: a position outside [0, p) on CPU.
    """
    library.check_kernel_input("rotary_qkv", "mixed_qkv", mixed_qkv)
    _check_qkv(mixed_qkv, cos, sin)
    s, b = mixed_qkv.shape[:2]
    if positions is None:
        if cos.shape[0] < s:
            raise UserError(f"rotary_qkv: the tables have {cos.shape[0]} rows for a sequence of {s}; make them longer")
    else:
        shape, dtype, device = list(positions.shape), positions.dtype, positions.device
        if shape not in ([s], [s, b]) or dtype != torch.int64 or device != mixed_qkv.device:
            raise UserError(
                f"rotary_qkv: positions are {dtype} {shape} on {device}; mixed_qkv {list(mixed_qkv.shape)} needs "
                f"torch.int64 {[s]} or {[s, b]} on {mixed_qkv.device}"
            )
        if positions.dim() == 1:
            positions = positions[:, None].expand(s, b)
    return torch.ops.aixmeg.rotary_qkv(mixed_qkv, cos, sin, positions)


def _check_qkv(mixed_qkv: Tensor, cos: Tensor, sin: Tensor) -> None:
    for name, table in (("cos", cos), ("sin", sin)):
        if table.dim() != 2 or table.shape != cos.shape or table.shape[1] == 0:
            raise UserError(
                f"rotary_qkv: {name} has shape {list(table.shape)}, cos {list(cos.shape)}; both must be [p, hn/2] "
                "(see rotary_tables)"
            )
        if table.dtype != torch.float32 or table.device != mixed_qkv.device:
            raise UserError(
                f"rotary_qkv: {name} is {table.dtype} on {table.device}; it must be torch.float32 on {mixed_qkv.device}"
            )
    size = 2 * cos.shape[1]
    if mixed_qkv.dim() != 4 or mixed_qkv.shape[2] == 0 or mixed_qkv.shape[3] % size or mixed_qkv.shape[3] < 3 * size:
        raise UserError(
            f"rotary_qkv: mixed_qkv has shape {list(mixed_qkv.shape)}; for tables of head size {size} it must be "
            f"[s, b, ng, (np/ng + 2) * {size}]"
        )


def _fake(x: Tensor, cos: Tensor, sin: Tensor, inverse: bool) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
    _, cos, sin, ctx.inverse = inputs
    ctx.save_for_backward(cos, sin)


def _gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None, None]:
    cos, sin = ctx.saved_tensors
    return torch.ops.aixmeg.rotary(dy, cos, sin, not ctx.inverse), None, None, None  # a rotation's transpose


def _fake_qkv(mixed: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    s, b, groups, width = mixed.shape
    size = 2 * cos.shape[1]
    q = mixed.new_empty((s, b, groups * (width // size - 2), size))
    return q, mixed.new_empty((s, b, groups, size)), mixed.new_empty((s, b, groups, size))


def _fake_qkv_backward(  # noqa: PLR0917 - the signature of the op
    dq: Tensor, dk: Tensor, dv: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None
) -> Tensor:
    s, b, groups, size = dk.shape
    return dk.new_empty((s, b, groups, (dq.shape[2] // groups + 2) * size))


def _save_qkv(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], output: Any) -> None:
    _, cos, sin, positions = inputs
    ctx.save_for_backward(cos, sin, positions)


def _gradient_qkv(ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor) -> tuple[Tensor, None, None, None]:
    return torch.ops.aixmeg.rotary_qkv_backward(dq, dk, dv, *ctx.saved_tensors), None, None, None


if library.is_loaded():
    torch.library.register_fake("aixmeg::rotary_qkv", _fake_qkv)
    torch.library.register_fake("aixmeg::rotary_qkv_backward", _fake_qkv_backward)
    torch.library.register_autograd("aixmeg::rotary_qkv", _gradient_qkv, setup_context=_save_qkv)
    torch.library.register_fake("aixmeg::rotary", _fake)
    torch.library.register_autograd("aixmeg::rotary", _gradient, setup_context=_save)
