"""The accumulated weight gradient against float64."""

import pytest
import torch
from nearness import assert_near

from aixmeg.errors import UserError
from aixmeg.ops.weight_gradient import reference_wgrad_gemm_accum, wgrad_gemm_accum

F32, BF16 = torch.float32, torch.bfloat16
DTYPES = pytest.mark.parametrize("dtype", [F32, BF16], ids=["float", "bfloat16"])


@DTYPES
@pytest.mark.parametrize("leading", [(1,), (7,), (5, 3), (300, 2)])
def test_float64(leading, dtype):
    torch.manual_seed(len(leading))
    x, dy = torch.randn(*leading, 33, dtype=dtype), torch.randn(*leading, 17, dtype=dtype)
    main_grad = torch.randn(17, 33)
    expected = reference_wgrad_gemm_accum(x, dy, main_grad.double())
    wgrad_gemm_accum(x, dy, main_grad)
    assert_near(main_grad, expected, "main_grad")


def test_float64_of_strided_tensors():
    x, dy = torch.randn(8, 6, 5).transpose(0, 2), torch.randn(5, 12, 4)[:, ::2]  # [5, 6, 8], [5, 6, 4]
    main_grad = torch.randn(8, 4).t()
    expected = reference_wgrad_gemm_accum(x, dy, main_grad.double())
    wgrad_gemm_accum(x, dy, main_grad)
    assert_near(main_grad, expected, "main_grad")


def test_many_small_bfloat16_products_are_not_lost():
    """In bfloat16 a sum stops growing at 256 times an addend; the accumulator of float32 counts on."""
    x, dy = torch.ones(1, 4, dtype=BF16), torch.ones(1, 3, dtype=BF16)
    main_grad = torch.zeros(3, 4)
    for _ in range(1000):
        wgrad_gemm_accum(x, dy, main_grad)
    assert torch.equal(main_grad, torch.full((3, 4), 1000.0))


def test_a_bfloat16_accumulator_is_rounded_to_its_dtype():
    x, dy, main_grad = torch.randn(9, 4).to(BF16), torch.randn(9, 3).to(BF16), torch.randn(3, 4).to(BF16)
    expected = reference_wgrad_gemm_accum(x.double(), dy.double(), main_grad.double())
    wgrad_gemm_accum(x, dy, main_grad)
    torch.testing.assert_close(main_grad.double(), expected, rtol=2.0**-7, atol=2.0**-6)  # its terms may cancel


@DTYPES
def test_of_nothing(dtype):
    main_grad = torch.ones(3, 4)
    wgrad_gemm_accum(torch.empty(0, 4, dtype=dtype), torch.empty(0, 3, dtype=dtype), main_grad)
    assert torch.equal(main_grad, torch.ones(3, 4))


@pytest.mark.parametrize(
    ("x", "dy", "main_grad", "message"),
    [
        (
            torch.ones(2, 4),
            torch.ones(3, 5),
            torch.ones(5, 4),
            r"x has shape \[2, 4\], dy \[3, 5\], main_grad \[5, 4\]",
        ),
        (torch.ones(2, 4), torch.ones(2, 5), torch.ones(4, 5), r"main_grad \[4, 5\]; they must be"),
        (torch.ones(4), torch.ones(5), torch.ones(5, 4), r"x has shape \[4\]"),
        (torch.ones(2, 4), torch.ones(2, 5).bfloat16(), torch.ones(5, 4), "x is torch.float32, dy torch.bfloat16"),
        (torch.ones(2, 4), torch.ones(2, 5), torch.ones(5, 4).bfloat16(), "main_grad is torch.bfloat16; it must be"),
        (torch.ones(2, 4), torch.ones(2, 5), torch.ones(5, 4, device="meta"), "main_grad on meta"),
    ],
)
def test_bad_input_is_named(x, dy, main_grad, message):
    with pytest.raises(UserError, match=message):
        wgrad_gemm_accum(x, dy, main_grad)
