"""Every CUDA kernel, run in the emulator, against a float64 reference."""

import pytest
import torch
from cuda_emulated import offset_copy
from nearness import assert_near, leaf

from aixmeg.ops import reference_cross_entropy, reference_rms_norm, reference_rotary, reference_swiglu, rotary_tables

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
OFFSETS = pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "misaligned"])
EPS = 1e-5


@DTYPES
@OFFSETS
# One pack, less than a pack, several warps, more packs than threads, more rows than blocks of the backward pass.
@pytest.mark.parametrize(("rows", "hidden"), [(1, 8), (5, 37), (9, 264), (2, 4104), (300, 24), (3, 1)])
def test_rms_norm(kernels, rows, hidden, dtype, offset):
    x, dy = (offset_copy(torch.randn(rows, hidden, dtype=dtype) * 3, offset) for _ in range(2))
    weight = offset_copy(torch.randn(hidden, dtype=dtype), offset)
    x64, weight64 = leaf(x), leaf(weight)
    expected = reference_rms_norm(x64, weight64, EPS)
    expected.backward(dy.double())

    y, rstd = kernels.rms_norm_forward(x, weight, EPS, offset)
    dx, dweight = kernels.rms_norm_backward(dy, x, weight, rstd, offset)

    assert_near(y, expected.detach(), "y")
    # With one column, dx is the difference of two terms that are equal but for eps.
    assert_near(dx, x64.grad, "dx", largest_term=(dy.double() * weight.double() * rstd[:, None]).abs().max().item())
    assert_near(dweight, weight64.grad, "dweight", largest_term=dy.abs().max().item())  # a sum that may cancel


def test_rms_norm_asks_for_more_shared_memory_than_is_granted_unasked(kernels):
    x, weight = torch.randn(2, 16384), torch.randn(16384)  # 64 KiB of sums
    _, rstd = kernels.rms_norm_forward(x, weight, EPS)
    _, dweight = kernels.rms_norm_backward(x, x, weight, rstd)
    assert_near(dweight, (x.double().square() * rstd.double()[:, None]).sum(0), "dweight")


@DTYPES
def test_rms_norm_of_nothing(kernels, dtype):
    weight = torch.randn(8, dtype=dtype)
    empty = torch.empty(0, 8, dtype=dtype)
    _, rstd = kernels.rms_norm_forward(empty, weight, EPS)
    _, dweight = kernels.rms_norm_backward(empty, empty, weight, rstd)
    assert torch.equal(dweight, torch.zeros_like(weight))  # a sum over no rows, not what the memory held


@DTYPES
@OFFSETS
@pytest.mark.parametrize(("rows", "width"), [(1, 8), (5, 37), (4, 2072), (70, 16), (2, 1)])
def test_swiglu(kernels, rows, width, dtype, offset):
    x = offset_copy(torch.randn(rows, 2 * width, dtype=dtype) * 4, offset)
    dy = offset_copy(torch.randn(rows, width, dtype=dtype), offset)
    x64 = leaf(x)
    expected = reference_swiglu(x64)
    expected.backward(dy.double())
    assert_near(kernels.swiglu_forward(x, offset), expected.detach(), "y")
    assert_near(kernels.swiglu_backward(dy, x, offset), x64.grad, "dx")


def test_swiglu_of_more_rows_than_a_grid_has_blocks(kernels):
    x = torch.randn(65537, 2)
    assert_near(kernels.swiglu_forward(x), reference_swiglu(x.double()), "y")


@DTYPES
@OFFSETS
@pytest.mark.parametrize(("heads", "head_size"), [(1, 16), (3, 10), (8, 128), (5, 2)])
def test_rotary(kernels, heads, head_size, dtype, offset):
    x = offset_copy(torch.randn(5, 2, heads, head_size, dtype=dtype), offset)
    cos, sin = rotary_tables(5, head_size, 10_000.0, offset=7)
    y = kernels.rotary(x, cos, sin, offset=offset)
    assert_near(y, reference_rotary(x.double(), cos.double(), sin.double()), "y")
    back = kernels.rotary(y.clone(), cos, sin, inverse=True, offset=offset)
    assert_near(back, reference_rotary(y.double(), cos.double(), -sin.double()), "inverse")


@DTYPES
@pytest.mark.parametrize("head_size", [16, 12])
def test_rotary_reads_slices_of_a_joint_projection(kernels, head_size, dtype):
    joint = torch.randn(3, 2, 2, 6, head_size, dtype=dtype)  # per group: four query heads, key, value
    keys = joint[:, :, :, 4]
    cos, sin = rotary_tables(3, head_size, 10_000.0)
    expected = reference_rotary(keys.double(), cos.double(), sin.double())
    assert_near(kernels.rotary(keys, cos, sin), expected, "keys")


@DTYPES
@OFFSETS
@pytest.mark.parametrize(("rows", "columns"), [(1, 8), (5, 37), (3, 4104), (40, 24), (2, 1)])
def test_cross_entropy(kernels, rows, columns, dtype, offset):
    logits = offset_copy(torch.randn(rows, columns, dtype=dtype) * 5, offset)
    target, grad = torch.randint(0, columns, (rows,)), torch.randn(rows)
    logits64 = leaf(logits)
    expected = reference_cross_entropy(logits64, target)
    expected.backward(grad.double())

    maximum, total, picked = kernels.cross_entropy_statistics(logits, target, 0, columns, want_shifted=False)
    dlogits = kernels.cross_entropy_backward(
        logits, target, 0, maximum, total.log(), grad, vocabulary=columns, offset=offset
    )

    assert torch.equal(maximum, logits.float().amax(-1))
    assert torch.equal(picked, logits.float()[torch.arange(rows), target])
    # A loss near zero is the difference of two logits of their size: one row whose target stands out showed it.
    assert_near(total.log() + maximum - picked, expected.detach(), "loss", largest_term=logits.abs().max().item())
    # So is the gradient of such a target, (p - 1) * grad with p near one; torch's float32 is no nearer there.
    targets = torch.nn.functional.one_hot(target, columns).bool()
    largest = logits64.grad.abs().max().item()
    assert_near(dlogits[targets], logits64.grad[targets], "targets", largest_term=grad.abs().max().item())
    assert_near(dlogits[~targets], logits64.grad[~targets], "dlogits", largest_term=largest)


@DTYPES
@OFFSETS
@pytest.mark.parametrize("columns", [8, 37, 2056])
def test_cross_entropy_with_options(kernels, columns, dtype, offset):
    options = {"ignore_index": 3, "label_smoothing": 0.2, "z_loss": 1e-2}
    logits = offset_copy(torch.randn(6, columns, dtype=dtype) * 5, offset)
    target, grad = torch.randint(0, columns, (6,)), torch.randn(6)
    target[1] = 3
    logits[1, 0] = float("nan")  # of no consequence: its target is ignored
    clean = logits.nan_to_num(0.0)
    logits64 = leaf(clean)
    expected = reference_cross_entropy(logits64, target, **options)
    expected.backward(grad.double())

    maximum, total, picked, shifted = kernels.cross_entropy_statistics(logits, target, 0, columns, 3)
    lse = maximum + total.log()
    loss = total.log() + 0.8 * (maximum - picked) - 0.2 * shifted / columns + 1e-2 * lse.square()
    loss = loss.masked_fill(target == 3, 0.0)
    dlogits = kernels.cross_entropy_backward(
        logits, target, 0, maximum, total.log(), grad, columns, 3, 0.2, 1e-2, offset=offset
    )
    assert_near(loss, expected.detach(), "loss", largest_term=clean.abs().max().item())
    assert_near(dlogits, logits64.grad, "dlogits")
    assert torch.equal(dlogits[target == 3], torch.zeros_like(dlogits[target == 3]))


@DTYPES
def test_cross_entropy_gradient_over_the_logits(kernels, dtype):
    logits, target, grad = torch.randn(5, 80, dtype=dtype), torch.randint(0, 80, (5,)), torch.randn(5)
    maximum, total, _ = kernels.cross_entropy_statistics(logits, target, 0, 80, want_shifted=False)
    rows = [target, maximum, total.log(), grad]
    expected = kernels.cross_entropy_backward(logits, target, 0, *rows[1:], vocabulary=80)
    kernels.call("cross_entropy_backward", [logits, *rows, logits], 5, 80, 0, 80, -100, 0.0, 0.0, dtype=dtype)
    assert torch.equal(logits, expected)


def test_cross_entropy_of_two_slices_is_that_of_the_whole(kernels):
    logits, target = torch.randn(6, 48), torch.randint(0, 48, (6,))
    halves = [
        kernels.cross_entropy_statistics(logits[:, first : first + 24].contiguous(), target, first, 48)
        for first in (0, 24)
    ]
    maximum = torch.maximum(halves[0][0], halves[1][0])
    total = sum(half[1] * torch.exp(half[0] - maximum) for half in halves)
    loss = total.log() + maximum - halves[0][2] - halves[1][2]
    assert_near(loss, reference_cross_entropy(logits.double(), target), "loss")
    grad = torch.ones(6)
    for index, first in enumerate((0, 24)):
        part = logits[:, first : first + 24].contiguous()
        dlogits = kernels.cross_entropy_backward(part, target, first, maximum, total.log(), grad, vocabulary=48)
        expected = torch.softmax(logits.double(), -1) - torch.nn.functional.one_hot(target, 48)
        assert_near(dlogits, expected[:, first : first + 24], f"dlogits of slice {index}")


def test_cross_entropy_of_infinities_and_bad_targets(kernels):
    infinity = float("inf")
    logits = torch.tensor([[-infinity] * 4, [0.0, -infinity, 0.0, 0.0], *([[1.0, 2.0, 3.0, 4.0]] * 3)])
    target = torch.tensor([0, 0, 99, -1, -7])  # 99 and -1 are no ids of an eight-word vocabulary; -7 is ignored
    maximum, total, picked, _ = kernels.cross_entropy_statistics(logits, target, 0, 8, -7)
    assert maximum.tolist() == [-infinity, 0.0, 4.0, 4.0, 4.0]
    assert total[:2].tolist() == [0.0, 3.0]  # masked logits count nothing; an all-masked slice is not NaN
    assert picked.isnan().tolist() == [False, False, True, True, False]
