"""An FP8 linear in plain torch, for comparison: explicit scales, dequantised, multiplied in float64."""

import torch
from torch import Tensor

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2


def reference_scale(amax: Tensor, dtype: torch.dtype, *, margin: int = 0) -> Tensor:
    """The largest power of two that keeps `amax` within the format."""
    return torch.exp2(torch.floor(torch.log2(torch.finfo(dtype).max / amax.double())) - margin)


def dequantised(x: Tensor, dtype: torch.dtype, *, axis: int | None) -> Tensor:
    """What is left of x in float64; `axis`: the dimension that is summed over, when each row has its own scale."""
    x = x.double()
    amax = x.abs().max() if axis is None else x.abs().amax(axis, keepdim=True)
    scale = reference_scale(amax, dtype)
    largest = torch.finfo(dtype).max
    return (x * scale).clamp(-largest, largest).float().to(dtype).double() / scale


def reference_linear(x: Tensor, w: Tensor, dy: Tensor, recipe: str, hybrid: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y, dx, dw in float64 from x [m, k], w [n, k], dy [m, n]; delayed scaling as in its first step."""
    grad = E5M2 if hybrid else E4M3

    def part(t: Tensor, dtype: torch.dtype, axis: int) -> Tensor:
        return dequantised(t, dtype, axis=axis if recipe == "rowwise" else None)

    y = part(x, E4M3, 1) @ part(w, E4M3, 1).t()
    dx = part(dy, grad, 1) @ part(w, E4M3, 0)
    dw = part(dy, grad, 0).t() @ part(x, E4M3, 0)
    return y, dx, dw
