"""The CUDA kernels of the fused layer ops, run in the emulator, against a float64 reference."""

import pytest
import torch
from cuda_emulated import offset_copy
from nearness import assert_near, leaf

from aixmeg.ops import reference_add_rms_norm, reference_rotary_qkv, rotary_tables

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
OFFSETS = pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "misaligned"])
EPS = 1e-5


@DTYPES
@OFFSETS
@pytest.mark.parametrize(("rows", "hidden"), [(1, 8), (5, 37), (9, 264), (2, 4104), (300, 24), (3, 1)])
def test_add_rms_norm(kernels, rows, hidden, dtype, offset):
    x, residual, dy, dtotal = (offset_copy(torch.randn(rows, hidden, dtype=dtype) * 3, offset) for _ in range(4))
    weight = offset_copy(torch.randn(hidden, dtype=dtype), offset)
    y, total, rstd = kernels.add_rms_norm_forward(x, residual, weight, EPS, offset)
    assert torch.equal(total, x + residual)
    total64, weight64 = leaf(total), leaf(weight)  # the norm is that of the rounded sum
    expected, _ = reference_add_rms_norm(total64, torch.zeros_like(total64), weight64, EPS)
    expected.backward(dy.double())
    assert_near(y, expected.detach(), "y")

    dx, dweight = kernels.add_rms_norm_backward(dy, dtotal, total, weight, rstd, offset)
    # dx is a difference; with one column its terms are equal but for eps.
    largest = (dy.double() * weight.double() * rstd[:, None]).abs().max().item()
    assert_near(dx, total64.grad + dtotal.double(), "dx", largest_term=largest + dtotal.abs().max().item())
    assert_near(dweight, weight64.grad, "dweight", largest_term=dy.abs().max().item())  # a sum that may cancel


@DTYPES
@OFFSETS
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("head_size", [2, 10, 16, 128])
@pytest.mark.parametrize("restarts", [False, True])
def test_rotary_qkv(kernels, head_size, heads, restarts, dtype, offset):
    mixed = offset_copy(torch.randn(5, 2, 3, (heads + 2) * head_size, dtype=dtype), offset)
    cos, sin = rotary_tables(9, head_size, 10_000.0)
    positions = torch.randint(0, 9, (5, 2)) if restarts else None
    mixed64 = leaf(mixed)
    expected = reference_rotary_qkv(mixed64, cos.double(), sin.double(), positions=positions)
    found = kernels.rotary_qkv(mixed, cos, sin, positions, offset)
    for name, ours, exact in zip("qkv", found, expected, strict=True):
        assert_near(ours, exact.detach(), name)

    gradients = tuple(offset_copy(torch.randn(part.shape, dtype=dtype), offset) for part in found)
    torch.autograd.backward(expected, [gradient.double() for gradient in gradients])
    assert_near(kernels.rotary_qkv_backward(gradients, cos, sin, positions, offset), mixed64.grad, "dmixed")


@DTYPES
@pytest.mark.parametrize("gap", [0, 1])
def test_rotary_qkv_backward_reads_what_attention_returns(kernels, gap, dtype):
    """Gradients laid out [b, heads, s, hn]; with a gap, heads of which only the first is aligned."""
    cos, sin = rotary_tables(4, 16, 10_000.0)
    gradients = tuple(torch.randn(2, n, 4, 16 + gap, dtype=dtype)[..., :16].permute(2, 0, 1, 3) for n in (6, 3, 3))
    found = kernels.rotary_qkv_backward(gradients, cos, sin, None)
    dense = tuple(gradient.contiguous() for gradient in gradients)
    assert torch.equal(found, kernels.rotary_qkv_backward(dense, cos, sin, None))


def test_rotary_qkv_outside_the_tables_is_nan(kernels):
    cos, sin = rotary_tables(4, 8, 10_000.0)
    q, k, v = kernels.rotary_qkv(torch.randn(3, 1, 2, 24), cos, sin, torch.tensor([[3], [4], [-1]]))
    for part in (q, k):
        assert part.isnan().flatten(1).any(1).tolist() == [False, True, True]
        assert part[1:].isnan().all()
    assert not v.isnan().any()
