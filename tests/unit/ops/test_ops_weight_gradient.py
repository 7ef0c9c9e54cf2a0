"""The accumulated weight gradient against float64."""

import os
import subprocess
import sys

import pytest
import torch
from nearness import assert_near

from aixmeg.errors import UserError
from aixmeg.ops import library
from aixmeg.ops.weight_gradient import reference_wgrad_gemm_accum, wgrad_gemm_accum

F32, BF16 = torch.float32, torch.bfloat16
library.load()
KERNEL = pytest.mark.skipif(
    not torch.ops.aixmeg.has_wgrad_bf16(), reason="this processor has no AVX-512 BF16, or AIXMEG_CPU_ISA forbids it"
)
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


@KERNEL
@pytest.mark.parametrize("tokens", [1, 2, 511, 512, 1025])
@pytest.mark.parametrize("outputs", [1, 12, 29])
@pytest.mark.parametrize("width", [1, 31, 32, 1029])  # 1,024 columns are a block
def test_bfloat16_kernel_equals_float64(tokens, outputs, width):
    torch.manual_seed(tokens)
    x, dy = torch.randn(tokens, width).to(BF16), torch.randn(tokens, outputs).to(BF16)
    total = torch.randn(outputs, width)
    expected = reference_wgrad_gemm_accum(x, dy, total.double())
    torch.ops.aixmeg.wgrad_bf16_accum(x, dy, total)
    assert_near(total, expected, "total")


@KERNEL
def test_bfloat16_kernel_is_the_same_on_any_number_of_threads():
    x, dy, totals = torch.randn(300, 200).to(BF16), torch.randn(300, 150).to(BF16), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            totals.append(torch.zeros(150, 200))
            torch.ops.aixmeg.wgrad_bf16_accum(x, dy, totals[-1])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(totals[0], totals[1]) and torch.equal(totals[0], totals[2])


@KERNEL
def test_bfloat16_kernel_keeps_what_is_not_finite():
    x, dy = torch.ones(3, 40).to(BF16), torch.ones(3, 2).to(BF16)
    x[1, 7], dy[2, 1] = float("inf"), float("nan")
    total = torch.zeros(2, 40)
    torch.ops.aixmeg.wgrad_bf16_accum(x, dy, total)
    assert torch.equal(total.isinf(), (torch.arange(40) == 7) & torch.tensor([[True], [False]]))
    assert total[1].isnan().all() and not total[0].isnan().any()


@KERNEL
def test_bfloat16_kernel_opcheck():
    x, dy = torch.randn(5, 40).to(BF16), torch.randn(5, 13).to(BF16)
    torch.library.opcheck(torch.ops.aixmeg.wgrad_bf16_accum.default, (x, dy, torch.zeros(13, 40)))


@pytest.mark.parametrize(
    ("x", "dy", "total", "message"),
    [
        ((5, 4), (6, 3), (3, 4), "not .n, h. and .n, o."),
        ((5, 4), (5, 3), (4, 3), "total has the wrong shape"),
    ],
)
def test_bfloat16_kernel_refuses(x, dy, total, message):
    with pytest.raises(RuntimeError, match=message):
        torch.ops.aixmeg.wgrad_bf16_accum(torch.ones(x).to(BF16), torch.ones(dy).to(BF16), torch.zeros(total))
    with pytest.raises(RuntimeError, match="not bfloat16 on the CPU"):
        torch.ops.aixmeg.wgrad_bf16_accum(torch.ones(5, 4), torch.ones(5, 3), torch.zeros(3, 4))


def test_other_instruction_sets_widen():
    code = "from aixmeg.ops import library as l; import torch; l.load(); print(torch.ops.aixmeg.has_wgrad_bf16())"
    environment = {**os.environ, "AIXMEG_CPU_ISA": "generic"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


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
