"""FP8: largest magnitudes, power-of-two scales, quantisation into one or both layouts, delayed scaling's history.

A number x is stored as q = fp8(x · scale), and read as q · scale_inv. Scales are powers of two, so that only the
rounding to 3 (e4m3) or 2 (e5m2) mantissa bits changes a number: relative error at most 2⁻⁴ or 2⁻³ (`ROUNDING`), or half
a step of the format's subnormals, 2⁻¹⁰ or 2⁻¹⁷ of scale_inv, where that is more.
Sources: arXiv:2209.05433 (formats), Transformer Engine's documentation (delayed scaling).
Shapes: m rows (tokens), k columns, n tensors, w window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops import library

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
LARGEST = {E4M3: 448.0, E5M2: 57344.0}
"""Largest finite value; larger magnitudes, infinity included, are clamped to it."""
ROUNDING = {E4M3: 2.0**-4, E5M2: 2.0**-3}
"""Largest relative error of a value between the smallest normal number and `LARGEST`."""
SMALLEST_STEP = {E4M3: 2.0**-9, E5M2: 2.0**-16}
"""Distance of neighbouring subnormal numbers."""


def reference_fp8_quantize(x: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """The definition in plain torch: float32 product, clamp, torch's conversion. `scale` broadcasts over x."""
    return (x.float() * scale).clamp(-LARGEST[dtype], LARGEST[dtype]).to(dtype)


def reference_fp8_scale(amax: Tensor, dtype: torch.dtype, *, margin: int = 0) -> Tensor:
    """The definition of the scale in float64: the largest power of two with amax · scale ≤ LARGEST, 2^margin lower."""
    power = torch.floor(torch.log2(LARGEST[dtype] / amax.double())) - margin
    scale = torch.exp2(power.clamp(-126, 126))
    scale = torch.where(amax == 0, 1.0, scale)
    return torch.where(amax.isfinite(), scale, torch.nan).float()


def fp8_amax(x: Tensor, *, axis: str | None = None) -> Tensor:
    """Largest magnitude of x [..., k], as float32; NaN where a NaN is among the values.

    Args:
        x: float32 or bfloat16, any strides; leading dimensions count as m rows.
        axis: None for one number [], "rows" for each row's [m], "columns" for each column's [k].

    Raises:
        UserError: the dtype has no kernel, x has no dimension, `axis` is another word, or the extension is not built.
    """
    library.check_kernel_input("fp8_amax", "x", x)
    ops = {
        None: torch.ops.aixmeg.fp8_amax,
        "rows": torch.ops.aixmeg.fp8_amax_rows,
        "columns": torch.ops.aixmeg.fp8_amax_columns,
    }
    if axis not in ops:
        raise UserError(f"fp8_amax: axis={axis!r} must be None, 'rows' or 'columns'")
    return ops[axis](_as_matrix("fp8_amax", x))


def fp8_scale(amax: Tensor, dtype: torch.dtype, *, margin: int = 0) -> tuple[Tensor, Tensor]:
    """Scales for largest magnitudes: (scale, scale_inv), float32 powers of two of amax's shape, within 2^±126.

    1 where amax is 0. NaN where amax is infinite or NaN: an overflow then reaches the loss.

    Args:
        amax: float32, any shape.
        dtype: torch.float8_e4m3fn or torch.float8_e5m2.
        margin: how many powers of two to stay below the format's largest value; not negative.

    Raises:
        UserError: another dtype, a negative margin, or the extension is not built.
    """
    library.check_kernel_input("fp8_scale", "amax", amax)
    if amax.dtype != torch.float32:
        raise UserError(f"fp8_scale: amax is {amax.dtype}; it must be torch.float32")
    if margin < 0:
        raise UserError(f"fp8_scale: margin={margin} is negative; use 0 or more")
    return torch.ops.aixmeg.fp8_scale(amax, _is_e5m2("fp8_scale", dtype), margin)


def fp8_quantize(x: Tensor, scale: Tensor, dtype: torch.dtype, *, amax: Tensor | None = None) -> Tensor:
    """x · scale, clamped to the largest finite value and rounded to nearest, ties to even; NaN stays NaN.

    Bit-equal to `reference_fp8_quantize`.

    Args:
        x: [..., k] float32 or bfloat16, any strides.
        scale: float32, one number, or [m] for one per row.
        dtype: torch.float8_e4m3fn or torch.float8_e5m2.
        amax: one float32 number that is raised in place to the largest magnitude of x, in the same pass.

    Returns:
        [..., k] of `dtype`, dense; not differentiable.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
    """
    name = "fp8_quantize"
    library.check_kernel_input(name, "x", x)
    matrix = _as_matrix(name, x)
    _check_number(name, "scale", scale, x, len(matrix), "rows")
    if amax is not None:
        _check_number(name, "amax", amax, x, 1, "amax")
    q, _ = torch.ops.aixmeg.fp8_quantize(matrix, scale, None, _is_e5m2(name, dtype), False, amax)
    return q.view(x.shape)


def fp8_quantize_transpose(
    x: Tensor, scale: Tensor, dtype: torch.dtype, *, column_scale: Tensor | None = None, amax: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Both layouts in one pass: q [m, k] of x · scale, and the transposed [k, m] of x · column_scale.

    Args:
        x: [..., k] float32 or bfloat16, any strides; leading dimensions become m rows.
        scale: float32, one number, or [m] for one per row.
        dtype: torch.float8_e4m3fn or torch.float8_e5m2.
        column_scale: float32, one number, or [k] for one per column; None repeats a single `scale`.
        amax: as for `fp8_quantize`.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
    """
    name = "fp8_quantize_transpose"
    library.check_kernel_input(name, "x", x)
    matrix = _as_matrix(name, x)
    _check_number(name, "scale", scale, x, len(matrix), "rows")
    if column_scale is None:
        if scale.numel() != 1:
            raise UserError(f"{name}: one scale per row ({scale.numel()}) needs a column_scale for the transposed copy")
        column_scale = scale
    _check_number(name, "column_scale", column_scale, x, matrix.shape[1], "columns")
    if amax is not None:
        _check_number(name, "amax", amax, x, 1, "amax")
    return torch.ops.aixmeg.fp8_quantize(matrix, scale, column_scale, _is_e5m2(name, dtype), False, amax)


def swiglu_fp8(
    x: Tensor, scale: Tensor, dtype: torch.dtype, *, transpose: bool = False, amax: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """SwiGLU of gate | up, quantised in the same pass: q [m, f], and its transposed [f, m] if asked for.

    The float32 value is rounded once, to FP8. Not differentiable: `swiglu`'s backward serves its input.

    Args:
        x: [..., 2f] float32 or bfloat16, any strides; leading dimensions become m rows.
        scale: one float32 number.
        dtype: torch.float8_e4m3fn or torch.float8_e5m2.
        transpose: whether to make the second layout.
        amax: one float32 number that is raised in place to the largest magnitude of silu(gate) · up.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
    """
    name = "swiglu_fp8"
    library.check_kernel_input(name, "x", x)
    matrix = _as_matrix(name, x)
    if x.shape[-1] % 2:
        raise UserError(f"{name}: x has shape {list(x.shape)}; its last size must be even (gate and up side by side)")
    _check_number(name, "scale", scale, x, 1, "scale")
    if amax is not None:
        _check_number(name, "amax", amax, x, 1, "amax")
    column_scale = scale if transpose else None
    q, transposed = torch.ops.aixmeg.fp8_quantize(matrix, scale, column_scale, _is_e5m2(name, dtype), True, amax)
    return q, transposed if transpose else None


def fp8_update_history(
    history: Tensor, amax: Tensor, scale: Tensor, scale_inv: Tensor, e5m2: Tensor, *, step: int, margin: int = 0
) -> None:
    """Delayed scaling, once per step: note `amax`, clear it, and set the scales from the largest of the window.

    All tensors are changed in place but for `e5m2`, and must be contiguous.

    Args:
        history: [n, w] float32, a ring of the last w steps' largest magnitudes.
        amax: [n] float32, this step's; 0 afterwards.
        scale: [n] float32.
        scale_inv: [n] float32, its reciprocal.
        e5m2: [n] bool, which tensors are stored as e5m2.
        step: number of updates so far; its remainder by w is the place that is overwritten.
        margin: as for `fp8_scale`.

    Raises:
        UserError: a size does not fit or a number is negative, or the extension is not built.
    """
    library.load()
    n = history.shape[0]
    if history.dim() != 2 or history.shape[1] == 0 or any(t.shape != (n,) for t in (amax, scale, scale_inv, e5m2)):
        shapes = ", ".join(str(list(t.shape)) for t in (history, amax, scale, scale_inv, e5m2))
        raise UserError(
            f"fp8_update_history: history, amax, scale, scale_inv, e5m2 have shapes {shapes}; they must be [n, w] with "
            "w > 0, then [n] each"
        )
    if step < 0 or margin < 0:
        raise UserError(f"fp8_update_history: step={step} and margin={margin} must not be negative")
    torch.ops.aixmeg.fp8_update_history(history, amax, scale, scale_inv, e5m2, step % history.shape[1], margin)


def _as_matrix(op: str, x: Tensor) -> Tensor:
    """[..., k] as [m, k]; a view where the strides allow it."""
    if x.dim() == 0:
        raise UserError(f"{op}: x has shape []; it must have a last dimension")
    return x.detach().reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _is_e5m2(op: str, dtype: torch.dtype) -> bool:
    if dtype not in LARGEST:
        raise UserError(f"{op}: dtype={dtype} must be torch.float8_e4m3fn or torch.float8_e5m2")
    return dtype == E5M2


def _check_number(  # noqa: PLR0917
    op: str, name: str, number: Tensor, x: Tensor, count: int, of_what: str
) -> None:
    """A float32 scalar, or `count` of them, on x's device."""
    if number.dtype != torch.float32 or number.device != x.device:
        raise UserError(f"{op}: {name} is {number.dtype} on {number.device}; it must be torch.float32 on {x.device}")
    if number.numel() not in (1, count) or number.dim() > 1:
        allowed = "1 element" if count == 1 else f"1 element, or [{count}], one for each of the {of_what}"
        raise UserError(f"{op}: {name} has shape {list(number.shape)}, x {list(x.shape)}; {name} must have {allowed}")


def _fake_scale(amax: Tensor, e5m2: bool, margin: int) -> tuple[Tensor, Tensor]:
    return amax.new_empty(amax.shape), amax.new_empty(amax.shape)


def _fake_quantize(  # noqa: PLR0917 - the signature of the op
    x: Tensor, row_scale: Tensor | None, column_scale: Tensor | None, e5m2: bool, gated: bool, amax: Tensor | None
) -> tuple[Tensor, Tensor]:
    dtype = E5M2 if e5m2 else E4M3
    rows, columns = x.shape[0], x.shape[1] // 2 if gated else x.shape[1]
    return (
        x.new_empty((rows, columns) if row_scale is not None else (0,), dtype=dtype),
        x.new_empty((columns, rows) if column_scale is not None else (0,), dtype=dtype),
    )


if library.is_loaded():
    torch.library.register_fake("aixmeg::fp8_amax", lambda x: x.new_empty((), dtype=torch.float32))
    torch.library.register_fake("aixmeg::fp8_amax_rows", lambda x: x.new_empty((x.shape[0],), dtype=torch.float32))
    torch.library.register_fake("aixmeg::fp8_amax_columns", lambda x: x.new_empty((x.shape[1],), dtype=torch.float32))
    torch.library.register_fake("aixmeg::fp8_scale", _fake_scale)
    torch.library.register_fake("aixmeg::fp8_quantize", _fake_quantize)
    torch.library.register_fake("aixmeg::fp8_update_history", lambda *arguments: None)
