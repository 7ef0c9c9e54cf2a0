"""One way to compare a kernel with its float64 reference."""

import torch
from torch import Tensor


def assert_near(actual: Tensor, expected: Tensor, what: str, *, largest_term: float | None = None) -> None:
    """Compare with a float64 reference of the same inputs.

    The kernels compute in float32 and round once: half a unit in the last place of bfloat16 (2^-8 relative), plus 4e-6
    of float32 error, which for sums and differences is relative to their largest term; that is the largest result,
    unless the terms cancel and the caller gives it.
    """
    assert actual.shape == expected.shape
    if actual.numel() == 0:
        return
    rounding = 2.0**-8 if actual.dtype == torch.bfloat16 else 0.0
    scale = max(expected.abs().max().item(), largest_term or 0.0, 1e-30)
    bound = rounding * expected.abs() + 4e-6 * scale
    worst = ((actual.double() - expected).abs() / bound).nan_to_num(float("inf")).max().item()
    assert worst <= 1.0, f"{what}: error {worst:.2f} times the bound"


def leaf(tensor: Tensor) -> Tensor:
    """A float64 copy that collects a gradient."""
    return tensor.detach().double().requires_grad_()
