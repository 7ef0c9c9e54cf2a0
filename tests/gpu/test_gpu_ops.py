"""Each CUDA op against its definition in float64 on the CPU: odd sizes, both dtypes, gradients."""

import pytest
import torch
from nearness import assert_near

from aixmeg import ops
from aixmeg.ops import optimizer, weight_gradient

DTYPES = [torch.float32, torch.bfloat16]
SIZES = [(1, 8), (3, 7), (5, 257), (64, 1024), (9, 4104)]

both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "bfloat16"])
all_sizes = pytest.mark.parametrize("size", SIZES, ids=str)


def leaves(dtype, device, *shapes):
    """The same values on the device, and in float64 on the CPU; both collect gradients."""
    torch.manual_seed(0)
    here = [torch.randn(shape).to(dtype) for shape in shapes]
    return (
        [one.to(device, copy=True).requires_grad_() for one in here],
        [one.double().requires_grad_() for one in here],
    )


def compare(function, reference, ours, exact):
    """Results and gradients, the gradients of the results being random."""
    found, expected = function(*ours), reference(*exact)
    found = found if isinstance(found, tuple) else (found,)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.is_cuda
        assert_near(one.cpu(), other, f"result {number}")
    weights = [torch.randn(one.shape) for one in expected]
    torch.autograd.backward(found, [one.to(two) for one, two in zip(weights, found, strict=True)])
    rounded = [one.to(two.dtype).double() for one, two in zip(weights, found, strict=True)]
    torch.autograd.backward(expected, rounded)
    for number, (one, other) in enumerate(zip(ours, exact, strict=True)):
        assert_near(one.grad.cpu(), other.grad, f"gradient {number}")


@both_dtypes
@all_sizes
def test_rms_norm(device, dtype, size):
    ours, exact = leaves(dtype, device, size, size[1:])
    compare(lambda x, w: ops.rms_norm(x, w, 1e-5), lambda x, w: ops.reference_rms_norm(x, w, 1e-5), ours, exact)


@both_dtypes
@all_sizes
def test_add_rms_norm(device, dtype, size):
    ours, exact = leaves(dtype, device, size, size, size[1:])
    found = ops.add_rms_norm(ours[0], ours[1], ours[2], 1e-5)
    # The norm is of the rounded sum, which the definition does not know.
    total = found[1].detach().cpu().double()
    assert_near(found[1].cpu(), exact[0] + exact[1], "sum")
    assert_near(found[0].cpu(), ops.reference_rms_norm(total, exact[2], 1e-5), "normed")


@both_dtypes
@all_sizes
def test_swiglu(device, dtype, size):
    ours, exact = leaves(dtype, device, (size[0], 2 * size[1]))
    compare(ops.swiglu, ops.reference_swiglu, ours, exact)


@both_dtypes
@pytest.mark.parametrize("head_size", [2, 6, 64, 128])
def test_rotary_and_rotary_qkv(device, dtype, head_size):
    cos, sin = ops.rotary_tables(11, head_size, 10_000.0)
    tables, doubles = (cos.to(device), sin.to(device)), (cos.double(), sin.double())
    ours, exact = leaves(dtype, device, (11, 2, 3, head_size))
    compare(lambda x: ops.rotary(x, *tables), lambda x: ops.reference_rotary(x, *doubles), ours, exact)
    ours, exact = leaves(dtype, device, (11, 2, 3, 4 * head_size))
    compare(lambda x: ops.rotary_qkv(x, *tables), lambda x: ops.reference_rotary_qkv(x, *doubles), ours, exact)


@both_dtypes
@pytest.mark.parametrize("vocabulary", [7, 1000, 49_152])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "z_loss": 1e-3}], ids=["plain", "smoothed"])
def test_cross_entropy(device, dtype, vocabulary, options):
    ours, exact = leaves(dtype, device, (5, 2, vocabulary))
    target = torch.randint(0, vocabulary, (5, 2))
    target[1, 1] = -100
    compare(
        lambda x: ops.vocab_parallel_cross_entropy(x, target.to(device), **options),
        lambda x: ops.reference_cross_entropy(x, target, **options), ours, exact,
    )  # fmt: skip


def test_linear_cross_entropy(device):
    ours, exact = leaves(torch.float32, device, (33, 2, 64), (1000, 64))
    target = torch.randint(0, 1000, (33, 2))
    compare(
        lambda h, w: ops.linear_cross_entropy(h, w, target.to(device), chunk_rows=16),
        lambda h, w: ops.reference_linear_cross_entropy(h, w, target),
        ours,
        exact,
    )


@both_dtypes
@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2], ids=["e4m3", "e5m2"])
def test_fp8_quantize_is_the_cpus(device, dtype, kind):
    every = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).to(dtype).view(256, 256)
    for scale in (1.0, 0.25, 1024.0):
        factor = torch.tensor(scale)
        here, there = ops.fp8_quantize(every, factor, kind), ops.fp8_quantize(every.to(device), factor.to(device), kind)
        assert torch.equal(here.view(torch.uint8), there.cpu().view(torch.uint8))
        both = ops.fp8_quantize_transpose(every.to(device), factor.to(device), kind)
        assert torch.equal(both[0].cpu().view(torch.uint8), here.view(torch.uint8))
        assert torch.equal(both[1].cpu().view(torch.uint8), here.view(torch.uint8).t())


@both_dtypes
def test_fp8_amax_and_swiglu(device, dtype):
    x = torch.randn(37, 514).to(dtype)
    for axis in (None, "rows", "columns"):
        assert torch.equal(ops.fp8_amax(x.to(device), axis=axis).cpu(), ops.fp8_amax(x, axis=axis))
    scale = torch.tensor(8.0)
    here, _ = ops.swiglu_fp8(x, scale, torch.float8_e4m3fn)
    there, turned = ops.swiglu_fp8(x.to(device), scale.to(device), torch.float8_e4m3fn, transpose=True)
    assert turned is not None
    assert torch.equal(turned.view(torch.uint8), there.view(torch.uint8).t())
    # exp differs in its last bit between the two, so a value on the border of two FP8 numbers may fall either way.
    assert (here.view(torch.uint8) != there.cpu().view(torch.uint8)).float().mean() < 1e-3


def test_optimizer_ops(device):
    shapes = [(1,), (7,), (64, 33), (4, 4096)]
    make = [[torch.rand(shape) for shape in shapes] for _ in range(4)]
    cuda = [[one.to(device) for one in group] for group in make]
    options = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    for step in range(1, 6):
        optimizer.multi_tensor_adamw(*make, step=step, **options)
        optimizer.multi_tensor_adamw(*cuda, step=step, **options)
    for group, other in zip(make, cuda, strict=True):
        for one, two in zip(group, other, strict=True):
            torch.testing.assert_close(two.cpu(), one, rtol=1e-6, atol=1e-7)  # a few roundings of float32
    norm, each = optimizer.multi_tensor_l2_norm(cuda[1], per_tensor=True)
    exact = torch.stack([one.double().norm() for one in make[1]])
    torch.testing.assert_close(each.cpu().double().flatten(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(norm.cpu().double().flatten(), exact.norm()[None], rtol=1e-6, atol=0)
    again, _ = optimizer.multi_tensor_l2_norm(cuda[1])
    assert torch.equal(norm, again)
    found = torch.zeros(1, dtype=torch.int32, device=device)
    optimizer.multi_tensor_scale(cuda[1], cuda[1], 2.0, found)
    assert found.item() == 0
    cuda[1][2][3, 3] = float("inf")
    optimizer.multi_tensor_scale(cuda[1], cuda[1], 2.0, found)
    assert found.item() == 1


def test_weight_gradient(device):
    x, dy, main = torch.randn(65, 48), torch.randn(65, 24), torch.randn(24, 48)
    there = main.to(device, copy=True)
    weight_gradient.wgrad_gemm_accum(x.bfloat16().to(device), dy.bfloat16().to(device), there)
    exact = main.double() + dy.bfloat16().double().t() @ x.bfloat16().double()
    torch.testing.assert_close(there.cpu().double(), exact, rtol=1e-4, atol=1e-3)  # float32 sums of 65 products


def test_results_repeat(device):
    """Weight gradients and statistics are sums in a fixed order."""
    x, weight = torch.randn(1000, 512, device=device), torch.randn(512, device=device)
    found = []
    for _ in range(3):
        one, two = x.clone().requires_grad_(), weight.clone().requires_grad_()
        ops.rms_norm(one, two, 1e-5).sum().backward()
        found.append((one.grad, two.grad))
    assert all(torch.equal(one, two) for pair in found[1:] for one, two in zip(pair, found[0], strict=True))
