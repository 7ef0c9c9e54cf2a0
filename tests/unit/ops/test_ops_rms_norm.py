"""RMSNorm against float64, over sizes around the vector widths."""

import pytest
import torch
from nearness import assert_near, leaf

from aixmeg.errors import UserError
from aixmeg.ops import reference_rms_norm, rms_norm

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
EPS = 1e-5


def check(x, weight, dy):
    x.requires_grad_()
    weight.requires_grad_()
    x64, weight64 = leaf(x), leaf(weight)
    expected = reference_rms_norm(x64, weight64, EPS)
    expected.backward(dy.double())
    y = rms_norm(x, weight, EPS)
    y.backward(dy)
    assert y.dtype == x.dtype == x.grad.dtype == weight.grad.dtype
    assert_near(y.detach(), expected.detach(), "y")
    # dx is a difference; with one column its terms are equal but for eps.
    rstd = torch.rsqrt(x64.detach().square().mean(-1, keepdim=True) + EPS)
    assert_near(x.grad, x64.grad, "dx", largest_term=(dy.double() * weight64.detach() * rstd).abs().max().item())
    assert_near(weight.grad, weight64.grad, "dweight")


def test_reference_is_torch_s():
    x, weight = torch.randn(3, 7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    torch.testing.assert_close(reference_rms_norm(x, weight, EPS), torch.nn.functional.rms_norm(x, (7,), weight, EPS))


@DTYPES
@pytest.mark.parametrize("hidden", [1, 2, 7, 8, 15, 16, 17, 31, 64, 100, 1023, 4096])
@pytest.mark.parametrize("leading", [(1,), (3, 2), (70,)])
def test_float64(leading, hidden, dtype):
    torch.manual_seed(hidden)
    check(
        torch.randn(*leading, hidden, dtype=dtype) * 3,
        torch.randn(hidden, dtype=dtype),
        torch.randn(*leading, hidden, dtype=dtype),
    )


@DTYPES
def test_float64_of_strided_tensors(dtype):
    torch.manual_seed(0)
    x = torch.randn(6, 20, 5, dtype=dtype).transpose(0, 2)[:, ::2].detach()  # [5, 10, 6]
    check(x, torch.randn(12, dtype=dtype)[::2].detach(), torch.randn(6, dtype=dtype).expand(5, 10, 6))


@DTYPES
@pytest.mark.parametrize("shape", [(0, 8), (2, 0, 8), (3, 0)])
def test_of_nothing(shape, dtype):
    x, weight = torch.empty(shape, dtype=dtype, requires_grad=True), torch.ones(shape[-1], dtype=dtype)
    weight.requires_grad_()
    y = rms_norm(x, weight, EPS)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    assert torch.equal(weight.grad, torch.zeros(shape[-1], dtype=dtype))


def test_bad_values_stay_where_they_are():
    x = torch.ones(4, 8)
    x[1, 3], x[2, 3] = float("nan"), float("inf")
    y = rms_norm(x, torch.ones(8), EPS)
    assert y[1].isnan().all()  # the whole row shares the mean
    assert torch.equal(y[[0, 3]], rms_norm(x[[0, 3]], torch.ones(8), EPS))


def test_inputs_are_left_alone():
    x, weight = torch.randn(5, 9, requires_grad=True), torch.randn(9, requires_grad=True)
    before = x.detach().clone(), weight.detach().clone()
    rms_norm(x, weight, EPS).sum().backward()
    assert torch.equal(x, before[0])
    assert torch.equal(weight, before[1])


@pytest.mark.parametrize(
    ("x", "weight", "eps", "message"),
    [
        (torch.ones(2, 8), torch.ones(7), EPS, r"weight has shape \[7\], x \[2, 8\]"),
        (torch.tensor(1.0), torch.ones(1), EPS, r"weight has shape \[1\], x \[\]"),
        (torch.ones(2, 8), torch.ones(8).bfloat16(), EPS, r"x torch.float32 on cpu, weight torch.bfloat16 on cpu"),
        (torch.ones(2, 8).half(), torch.ones(8).half(), EPS, r"x is torch.float16; the kernels take torch.float32"),
        (torch.ones(2, 8), torch.ones(8), -1.0, r"eps=-1.0 is negative"),
    ],
)
def test_bad_input_is_named(x, weight, eps, message):
    with pytest.raises(UserError, match=message):
        rms_norm(x, weight, eps)


def test_a_wrong_call_past_the_checks_is_an_exception():
    ops = torch.ops.aixmeg
    with pytest.raises(RuntimeError, match="weight has the wrong shape"):
        ops.rms_norm_forward(torch.ones(2, 8), torch.ones(7), EPS)
    with pytest.raises(RuntimeError, match="rstd has 3 elements for 2 rows"):
        ops.rms_norm_backward(torch.ones(2, 8), torch.ones(2, 8), torch.ones(8), torch.ones(3))
    with pytest.raises(RuntimeError, match="dy has the wrong shape"):
        ops.rms_norm_backward(torch.ones(2, 4), torch.ones(2, 8), torch.ones(8), torch.ones(2))
