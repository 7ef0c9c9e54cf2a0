"""Which library and dtype a product on the CPU takes; the results are those of float64."""

import pytest
import torch
from nearness import assert_near

from aixmeg.ops import products

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize(
    ("in_bf16", "dtype", "device", "slow"),
    [
        (False, torch.bfloat16, CPU, True),
        (True, torch.bfloat16, CPU, False),
        (False, torch.float32, CPU, False),
        (False, torch.bfloat16, META, False),  # a GPU has instructions for it, whatever the processor has
    ],
)
def test_only_bf16_without_instructions_is_widened(monkeypatch, in_bf16, dtype, device, slow):
    monkeypatch.setattr(products, "multiplies_bf16", lambda: in_bf16)
    operand = torch.ones(2, 2, dtype=dtype, device=device)
    assert products.is_slow(operand) == slow
    assert products.widened(operand).dtype == (torch.float32 if slow else dtype)
    assert slow or products.widened(operand) is operand


@pytest.fixture(params=[False, True], ids=["mkl", "onednn"])
def library(request, monkeypatch):
    """Either, whatever the processor: oneDNN is in every torch of x86."""
    monkeypatch.setattr(products, "mkl_leaves_avx512", lambda: request.param)
    monkeypatch.setattr(products, "_SMALLEST", 0)
    monkeypatch.setattr(products, "_COPY_BYTES", 4 * 33 * 5)  # pieces of five rows, and what is left
    calls, real = [], torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *given: calls.append(given) or real(*given))
    yield
    assert bool(calls) == request.param


@pytest.mark.usefixtures("library")
def test_float32_products_equal_float64s():
    torch.manual_seed(0)
    a, b = torch.randn(17, 70), torch.randn(33, 70).t()
    assert_near(products.multiply(a, b), a.double() @ b.double(), "rows by a transposed weight")
    assert_near(products.multiply(a.t(), torch.ones(17, 3)), a.t().double() @ torch.ones(17, 3).double(), "strided")
    total = torch.randn(17, 33)
    expected = total.double() + a.double() @ b.double()
    products.add_product(total, a, b)
    assert_near(total, expected, "added")


@pytest.mark.parametrize(
    ("dtype", "device", "faster"),
    [(torch.float32, CPU, True), (torch.bfloat16, CPU, False), (torch.float32, META, False)],
)
def test_only_float32_on_the_cpu_goes_to_onednn(monkeypatch, dtype, device, faster):
    operand = torch.ones(2, 2, dtype=dtype, device=device)
    monkeypatch.setattr(products, "mkl_leaves_avx512", lambda: True)
    assert products.in_onednn(operand) == faster
    monkeypatch.setattr(products, "mkl_leaves_avx512", lambda: False)
    assert not products.in_onednn(operand)


@pytest.mark.parametrize(("vendor", "left"), [("GenuineIntel", False), ("AuthenticAMD", True), ("", False)])
def test_mkl_uses_avx512_on_intels_alone(monkeypatch, vendor, left):
    monkeypatch.setattr(products, "_vendor", lambda: vendor)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert products.mkl_leaves_avx512.__wrapped__() == left
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: False)
    assert not products.mkl_leaves_avx512.__wrapped__()
