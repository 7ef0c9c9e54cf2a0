"""SwiGLU against float64, over sizes around the vector widths."""

import pytest
import torch
from nearness import assert_near, leaf

from aixmeg.errors import UserError
from aixmeg.ops import reference_swiglu, swiglu

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])


def check(x, dy):
    x.requires_grad_()
    x64 = leaf(x)
    expected = reference_swiglu(x64)
    expected.backward(dy.double())
    y = swiglu(x)
    y.backward(dy)
    assert y.dtype == x.dtype == x.grad.dtype
    assert_near(y.detach(), expected.detach(), "y")
    assert_near(x.grad, x64.grad, "dx")


def test_reference_is_torch_s():
    x = torch.randn(3, 10, dtype=torch.float64)
    torch.testing.assert_close(reference_swiglu(x), torch.nn.functional.silu(x[:, :5]) * x[:, 5:])


@DTYPES
@pytest.mark.parametrize("width", [1, 2, 7, 8, 15, 16, 17, 31, 64, 100, 1023])
@pytest.mark.parametrize("leading", [(), (1,), (3, 2), (70,)])
def test_float64(leading, width, dtype):
    torch.manual_seed(width)
    check(torch.randn(*leading, 2 * width, dtype=dtype) * 4, torch.randn(*leading, width, dtype=dtype))


@DTYPES
def test_float64_of_strided_tensors(dtype):
    torch.manual_seed(0)
    x = torch.randn(6, 20, 5, dtype=dtype).transpose(0, 2)[:, ::2].detach()  # [5, 10, 6]
    check(x, torch.randn(3, dtype=dtype).expand(5, 10, 3))


@pytest.mark.parametrize("gate", [-1e4, -200.0, -89.0, -88.0, -87.0, 87.0, 89.0, 1e4])
def test_float64_of_saturated_gates(gate):
    """Where e^x leaves float32's range. The results are then below 1e-35, or equal to the gate itself."""
    x = torch.tensor([[gate, 2.0]], requires_grad=True)
    x64 = leaf(x)
    reference_swiglu(x64).sum().backward()
    y = swiglu(x)
    y.sum().backward()
    torch.testing.assert_close(y.detach().double(), reference_swiglu(x64).detach(), rtol=1e-6, atol=1e-35)
    torch.testing.assert_close(x.grad.double(), x64.grad, rtol=1e-6, atol=1e-35)


@pytest.mark.parametrize("shape", [(0, 8), (2, 0, 8), (3, 0)])
def test_of_nothing(shape):
    x = torch.empty(shape, requires_grad=True)
    y = swiglu(x)
    y.sum().backward()
    assert y.shape == (*shape[:-1], shape[-1] // 2)
    assert x.grad.shape == shape


def test_nan_spreads_to_its_element_only():
    x = torch.ones(1, 16)
    x[0, 3] = float("nan")
    assert swiglu(x).isnan().tolist() == [[i == 3 for i in range(8)]]


def test_input_is_left_alone():
    x = torch.randn(5, 18, requires_grad=True)
    before = x.detach().clone()
    swiglu(x).sum().backward()
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(2, 7), r"x has shape \[2, 7\]; its last size must be even"),
        (torch.tensor(1.0), r"x has shape \[\]"),
        (torch.ones(2, 8).double(), r"x is torch.float64"),
    ],
)
def test_bad_input_is_named(x, message):
    with pytest.raises(UserError, match=message):
        swiglu(x)


def test_a_wrong_call_past_the_checks_is_an_exception():
    with pytest.raises(RuntimeError, match="the last size of x is not even"):
        torch.ops.aixmeg.swiglu_forward(torch.ones(2, 7))
    with pytest.raises(RuntimeError, match="dy has the wrong shape"):
        torch.ops.aixmeg.swiglu_backward(torch.ones(2, 3), torch.ones(2, 8))
