"""RMSNorm against float64, over sizes around the vector widths."""

import pytest
import torch
from nearness import assert_near, leaf

from aixmeg.errors import UserError
from aixmeg.ops import add_rms_norm, reference_add_rms_norm, reference_rms_norm, rms_norm

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
    assert_near(weight.grad, weight64.grad, "dweight", largest_term=dy.abs().max().item())  # a sum that may cancel


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


def check_add(x, residual, weight, dy, dsum):
    """The norm is that of the rounded sum, so the reference starts from it; dx is the gradient of both terms."""
    for leaf_ in (x, residual, weight):
        leaf_.requires_grad_()
    normed, total = add_rms_norm(x, residual, weight, EPS)
    assert torch.equal(total, x + residual)
    total64, weight64 = leaf(total), leaf(weight)
    expected = reference_rms_norm(total64, weight64, EPS)
    expected.backward(dy.double())
    torch.autograd.backward((normed, total), (dy, dsum))
    assert normed.dtype == total.dtype == x.grad.dtype == x.dtype
    assert_near(normed.detach(), expected.detach(), "y")
    rstd = torch.rsqrt(total64.detach().square().mean(-1, keepdim=True) + EPS)
    largest = (dy.double() * weight64.detach() * rstd).abs().max().item() + dsum.abs().max().item()
    assert_near(x.grad, total64.grad + dsum.double(), "dx", largest_term=largest)
    assert torch.equal(residual.grad, x.grad)
    # A sum over rows, whose terms are dy times numbers of the order of one: with a single column all may cancel.
    assert_near(weight.grad, weight64.grad, "dweight", largest_term=dy.abs().max().item())


@DTYPES
@pytest.mark.parametrize("hidden", [1, 2, 7, 8, 15, 16, 17, 31, 64, 100, 1023, 4096])
@pytest.mark.parametrize("leading", [(1,), (3, 2), (70,)])
def test_float64_of_residual_sum(leading, hidden, dtype):
    torch.manual_seed(hidden)
    x, residual, dy, dsum = (torch.randn(*leading, hidden, dtype=dtype) * 3 for _ in range(4))
    check_add(x, residual, torch.randn(hidden, dtype=dtype), dy, dsum)


@DTYPES
def test_float64_of_strided_residual_sum(dtype):
    torch.manual_seed(0)
    x = torch.randn(6, 20, 5, dtype=dtype).transpose(0, 2)[:, ::2].detach()  # [5, 10, 6]
    residual, dy = torch.randn(10, 5, 6, dtype=dtype).transpose(0, 1).detach(), torch.randn(5, 10, 6, dtype=dtype)
    check_add(x, residual, torch.randn(12, dtype=dtype)[::2].detach(), dy, torch.randn(6, dtype=dtype).expand(5, 10, 6))


@DTYPES
def test_residual_sum_equals_the_separate_ops(dtype):
    x, residual, weight = torch.randn(9, 64, dtype=dtype), torch.randn(9, 64, dtype=dtype), torch.randn(64, dtype=dtype)
    normed, total = add_rms_norm(x, residual, weight, EPS)
    assert torch.equal(total, x + residual)
    assert torch.equal(normed, rms_norm(x + residual, weight, EPS))
    exact, _ = reference_add_rms_norm(x.double(), residual.double(), weight.double(), EPS)
    assert (normed - exact).abs().max() < 0.1


@pytest.mark.parametrize("used", ["norm", "sum"])
def test_gradient_of_one_of_the_two_results(used):
    x, residual, weight = (torch.randn(*shape, requires_grad=True) for shape in ((5, 8), (5, 8), (8,)))
    outputs = add_rms_norm(x, residual, weight, EPS)
    plain = x.detach().requires_grad_()
    separate = rms_norm(plain + residual.detach(), weight.detach(), EPS)
    if used == "norm":
        outputs[0].square().sum().backward()
        separate.square().sum().backward()
        torch.testing.assert_close(x.grad, plain.grad)
    else:
        outputs[1].sum().backward()
        assert torch.equal(x.grad, torch.ones(5, 8))
        assert weight.grad is None
    assert torch.equal(x.grad, residual.grad)


@DTYPES
@pytest.mark.parametrize("shape", [(0, 8), (3, 0)])
def test_residual_sum_of_nothing(shape, dtype):
    x, weight = torch.empty(shape, dtype=dtype, requires_grad=True), torch.ones(shape[-1], dtype=dtype)
    normed, total = add_rms_norm(x, torch.empty(shape, dtype=dtype), weight.requires_grad_(), EPS)
    (normed.sum() + total.sum()).backward()
    assert normed.shape == total.shape == x.grad.shape == shape
    assert torch.equal(weight.grad, torch.zeros(shape[-1], dtype=dtype))


@pytest.mark.parametrize(
    ("residual", "weight", "message"),
    [
        (torch.ones(2, 7), torch.ones(8), r"residual has shape \[2, 7\], x \[2, 8\]"),
        (torch.ones(8), torch.ones(8), r"residual has shape \[8\]"),
        (torch.ones(2, 8).bfloat16(), torch.ones(8), r"residual torch.bfloat16 on cpu"),
        (torch.ones(2, 8), torch.ones(7), r"add_rms_norm: weight has shape \[7\]"),
    ],
)
def test_bad_residuals_are_named(residual, weight, message):
    with pytest.raises(UserError, match=message):
        add_rms_norm(torch.ones(2, 8), residual, weight, EPS)


def test_a_wrong_residual_past_the_checks_is_an_exception():
    ops, x = torch.ops.aixmeg, torch.ones(2, 8)
    with pytest.raises(RuntimeError, match="residual has the wrong shape"):
        ops.add_rms_norm_forward(x, torch.ones(2, 4), torch.ones(8), EPS)
    with pytest.raises(RuntimeError, match="dsum has the wrong shape"):
        ops.add_rms_norm_backward(x, torch.ones(1, 8), x, torch.ones(8), torch.ones(2))
