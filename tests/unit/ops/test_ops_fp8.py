"""FP8 ops against torch's conversions, bit by bit, and against float64."""

import pytest
import torch

from aixmeg.errors import UserError
from aixmeg.ops import (
    fp8_amax,
    fp8_quantize,
    fp8_quantize_transpose,
    fp8_scale,
    fp8_update_history,
    reference_fp8_quantize,
    reference_fp8_scale,
    reference_swiglu,
    swiglu,
    swiglu_fp8,
)
from aixmeg.ops.fp8 import E4M3, E5M2, LARGEST, ROUNDING, SMALLEST_STEP

FORMATS = pytest.mark.parametrize("fp8", [E4M3, E5M2], ids=["e4m3", "e5m2"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
SCALES = [1.0, 3.7, 2.0**-20, 2.0**30]


def number(value):
    return torch.tensor(float(value))


def same_bytes(mine, other):
    assert mine.dtype == other.dtype
    return torch.equal(mine.view(torch.uint8), other.view(torch.uint8))


def every_bfloat16():
    return torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)


def awkward_floats():
    """Random bits, and around every number of both formats: itself, both neighbours, the halves between and theirs."""
    random = torch.randint(-(2**31), 2**31 - 1, (300_000,), dtype=torch.int64).to(torch.int32)
    found = [random.view(torch.float32)]
    for fp8 in (E4M3, E5M2):
        numbers = torch.arange(256, dtype=torch.uint8).view(fp8).float()
        numbers = numbers[numbers.isfinite()].sort().values
        halves = (numbers[1:] + numbers[:-1]) / 2
        for values in (numbers, halves):
            up, down = (torch.nextafter(values, torch.full_like(values, edge)) for edge in (torch.inf, -torch.inf))
            found += [values, up, down]
    special = [torch.inf, -torch.inf, torch.nan, -torch.nan, 0.0, -0.0, 448.0, 464.0, 464.1, 57344.0, 61440.0, 1e-45]
    return torch.cat([*found, torch.tensor(special)])


@FORMATS
@pytest.mark.parametrize("scale", SCALES)
def test_nothing_but_torch_s_bits_for_every_bfloat16(fp8, scale):
    x = every_bfloat16()
    assert same_bytes(fp8_quantize(x, number(scale), fp8), reference_fp8_quantize(x, number(scale), fp8))


@FORMATS
@pytest.mark.parametrize("scale", SCALES)
def test_nothing_but_torch_s_bits_for_floats(fp8, scale):
    torch.manual_seed(0)
    x = awkward_floats()
    assert same_bytes(fp8_quantize(x, number(scale), fp8), reference_fp8_quantize(x, number(scale), fp8))


@FORMATS
def test_float64_bound_of_the_rounding(fp8):
    """What the docs promise of a quantised number: relative error of `ROUNDING`, or half a subnormal step."""
    torch.manual_seed(0)
    x = torch.randn(200_000) * torch.exp2(torch.randint(-30, 1, (200_000,)).float())
    scale, inv = fp8_scale(fp8_amax(x), fp8)
    read = fp8_quantize(x, scale, fp8).double() * inv.double()
    error = (read - x.double()).abs()
    bound = torch.maximum(x.double().abs() * ROUNDING[fp8], torch.tensor(SMALLEST_STEP[fp8] / 2 * inv.item()))
    assert (error <= bound).all()
    assert (error > 0.9 * bound).any(), "the bound is not empty"


@DTYPES
@FORMATS
@pytest.mark.parametrize("shape", [(1, 1), (5, 37), (64, 64), (65, 300), (3, 2, 17), (130, 513)])
def test_both_layouts_and_the_amax_of_one_pass(shape, fp8, dtype):
    torch.manual_seed(1)
    x = torch.randn(shape).mul(100).to(dtype)
    matrix, amax = x.reshape(-1, shape[-1]), number(1.5)
    q, transposed = fp8_quantize_transpose(x, number(4), fp8, amax=amax)
    assert same_bytes(q, reference_fp8_quantize(matrix, number(4), fp8))
    assert same_bytes(transposed, q.view(torch.uint8).t().contiguous().view(fp8))
    assert amax == max(1.5, x.abs().max().item())
    rows, columns = torch.rand(len(matrix)) + 0.1, torch.rand(shape[-1]) + 0.1
    q, transposed = fp8_quantize_transpose(x, rows, fp8, column_scale=columns)
    assert same_bytes(q, reference_fp8_quantize(matrix, rows[:, None], fp8))
    assert same_bytes(transposed, reference_fp8_quantize(matrix.t(), columns[:, None], fp8))
    assert same_bytes(fp8_quantize(x, rows, fp8).view(matrix.shape), q)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (5, 37), (70, 600), (3, 2, 17)])
def test_amax(shape, dtype):
    torch.manual_seed(2)
    x = torch.randn(shape, dtype=dtype) * 1e-3
    matrix = x.reshape(-1, shape[-1]).float().abs()
    assert torch.equal(fp8_amax(x), matrix.max())
    assert torch.equal(fp8_amax(x, axis="rows"), matrix.amax(1))
    assert torch.equal(fp8_amax(x, axis="columns"), matrix.amax(0))
    strided = torch.randn(8, 30, dtype=dtype).t()[::2]
    assert torch.equal(fp8_amax(strided, axis="rows"), strided.float().abs().amax(1))


def test_amax_of_nan_and_infinity():
    x = torch.tensor([[1.0, -torch.inf, 2.0], [1.0, torch.nan, -torch.inf]])
    assert fp8_amax(x).isnan()
    assert fp8_amax(x, axis="rows").nan_to_num(nan=-1.0, posinf=-2.0).tolist() == [-2.0, -1.0]
    assert fp8_amax(x, axis="columns")[[0, 2]].tolist() == [1.0, torch.inf]


@FORMATS
@pytest.mark.parametrize("margin", [0, 3])
def test_float64_scales_are_the_largest_that_fit(fp8, margin):
    torch.manual_seed(3)
    amax = torch.cat([torch.rand(5000) * torch.exp2(torch.randint(-140, 128, (5000,)).double()).float(),
                      torch.exp2(torch.arange(-140, 128).double()).float(),
                      torch.tensor([448.0, 448.1, 1.75, 1.7500001, 57344.0, 3.4e38, 1e-45, 0.0])])  # fmt: skip
    amax = amax[amax.isfinite()]
    scale, inv = fp8_scale(amax, fp8, margin=margin)
    assert torch.equal(scale, reference_fp8_scale(amax, fp8, margin=margin))
    assert torch.equal(scale * inv, torch.ones_like(scale))  # exact reciprocals
    product = amax.double() * scale.double() * 2.0**margin
    assert (product <= LARGEST[fp8]).all()
    usual = (amax > 1e-30) & (amax < 1e30)
    assert (product[usual] > LARGEST[fp8] / 2).all()


def test_an_overflow_makes_scales_of_nan():
    scale, inv = fp8_scale(torch.tensor([torch.inf, torch.nan, 0.0]), E4M3)
    assert scale.isnan().tolist() == inv.isnan().tolist() == [True, True, False]
    assert scale[2] == inv[2] == 1.0
    assert fp8_quantize(torch.ones(1, 3), scale[:1], E4M3).float().isnan().all()


@DTYPES
@FORMATS
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (5, 37), (70, 300)])
def test_float64_of_swiglu_into_fp8(rows, width, fp8, dtype):
    """The float32 value rounded once: within the format's bound of the exact one, plus the kernel's own 4e-6."""
    torch.manual_seed(4)
    x = torch.randn(rows, 2 * width, dtype=dtype) * 3
    exact, scale, amax = reference_swiglu(x.double()), number(2), number(0)
    q, transposed = swiglu_fp8(x, scale, fp8, transpose=True, amax=amax)
    bound = torch.maximum(exact.abs() * (ROUNDING[fp8] + 4e-6), torch.tensor(SMALLEST_STEP[fp8] / 2 / 2) + 1e-6)
    assert ((q.double() / 2 - exact).abs() <= bound).all()
    assert same_bytes(transposed, q.view(torch.uint8).t().contiguous().view(fp8))
    assert amax.item() == pytest.approx(exact.abs().max().item(), rel=4e-6)
    alone, nothing = swiglu_fp8(x, scale, fp8)
    assert same_bytes(alone, q)
    assert nothing is None
    if dtype == torch.float32:  # the same float32 values as the op that stores them
        assert same_bytes(q, reference_fp8_quantize(swiglu(x), scale, fp8))
        assert torch.equal(amax, swiglu(x).abs().max())


@pytest.mark.parametrize("window", [1, 3])
def test_history_is_a_ring(window):
    n = 3
    history, scale, inv = torch.zeros(n, window), torch.ones(n), torch.ones(n)
    e5m2 = torch.tensor([False, False, True])
    seen = []
    for step in range(7):
        amax = torch.tensor([2.0 ** (step % 4), 1e-3 / (step + 1), 300.0 - 40 * step])
        seen.append(amax.clone())
        fp8_update_history(history, amax, scale, inv, e5m2, step=step, margin=1)
        assert amax.tolist() == [0.0] * n
        most = torch.stack(seen[-window:]).amax(0)
        for i in range(n):
            expected = reference_fp8_scale(most[i], E5M2 if e5m2[i] else E4M3, margin=1)
            assert scale[i] == expected
            assert inv[i] == 1 / expected


def test_nothing():
    for shape in ((0, 8), (3, 0), (0,), (2, 0, 4)):
        x = torch.empty(shape)
        assert fp8_amax(x) == 0
        q, transposed = fp8_quantize_transpose(x, number(1), E4M3, amax=number(0))
        assert q.numel() == transposed.numel() == 0
        assert fp8_quantize(x, number(1), E5M2).shape == shape
    assert swiglu_fp8(torch.empty(3, 0), number(1), E4M3)[0].shape == (3, 0)
    assert fp8_amax(torch.empty(0, 5), axis="columns").tolist() == [0.0] * 5


def test_input_is_left_alone_and_strides_are_read():
    x = torch.randn(20, 30)
    before = x.clone()
    q, transposed = fp8_quantize_transpose(x.t(), number(2), E4M3)
    assert torch.equal(x, before)
    assert same_bytes(q, fp8_quantize(before.t().contiguous(), number(2), E4M3))
    assert q.shape == (30, 20)
    assert transposed.shape == (20, 30)
    assert q.is_contiguous()


def test_results_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(5)
    x = torch.randn(700, 512, dtype=torch.bfloat16)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            amax = number(0)
            results.append([*fp8_quantize_transpose(x, number(8), E4M3, amax=amax), amax, fp8_amax(x, axis="columns"),
                            *swiglu_fp8(x, number(4), E5M2, transpose=True)])  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert torch.equal(mine.float(), theirs.float())


X = torch.ones(4, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp8_amax(X.double()), r"x is torch.float64"),
        (lambda: fp8_amax(X, axis="diagonal"), r"axis='diagonal' must be None, 'rows' or 'columns'"),
        (lambda: fp8_amax(torch.tensor(1.0)), r"x has shape \[\]"),
        (lambda: fp8_scale(X.bfloat16(), E4M3), r"amax is torch.bfloat16"),
        (lambda: fp8_scale(X, torch.bfloat16), r"dtype=torch.bfloat16 must be torch.float8_e4m3fn or"),
        (lambda: fp8_scale(X, E4M3, margin=-1), r"margin=-1 is negative"),
        (lambda: fp8_quantize(X, torch.ones(5), E4M3), r"scale has shape \[5\], x \[4, 6\]; .* or \[4\], one for each"),
        (lambda: fp8_quantize(X, number(1).double(), E4M3), r"scale is torch.float64 on cpu"),
        (lambda: fp8_quantize(X, number(1), E4M3, amax=torch.ones(2)), r"amax has shape \[2\]"),
        (lambda: fp8_quantize_transpose(X, torch.ones(4), E4M3), r"one scale per row \(4\) needs a column_scale"),
        (
            lambda: fp8_quantize_transpose(X, number(1), E4M3, column_scale=torch.ones(4)),
            r"column_scale has shape \[4\].* or \[6\]",
        ),
        (lambda: swiglu_fp8(torch.ones(2, 7), number(1), E4M3), r"x has shape \[2, 7\]; its last size must be even"),
        (lambda: fp8_update_history(X, *[torch.ones(3)] * 4, step=0), r"shapes \[4, 6\], \[3\], \[3\]"),
        (lambda: fp8_update_history(X, *[torch.ones(4)] * 4, step=-1), r"step=-1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_a_wrong_call_past_the_checks_is_an_exception():
    raw = torch.ops.aixmeg
    with pytest.raises(RuntimeError, match="x is not \\[rows, columns\\] but has 3 dimensions"):
        raw.fp8_amax(torch.ones(2, 3, 4))
    with pytest.raises(RuntimeError, match="row_scale has 3 elements for 4 rows"):
        raw.fp8_quantize(X, torch.ones(3), None, False, False, None)
    with pytest.raises(RuntimeError, match="last size 7 is odd"):
        raw.fp8_quantize(torch.ones(2, 7), number(1), None, False, True, None)
    with pytest.raises(RuntimeError, match="position 6 is outside the window of 6"):
        raw.fp8_update_history(X, *[torch.ones(4)] * 3, torch.ones(4).bool(), 6, 0)


@DTYPES
def test_opcheck(dtype):
    x, one = torch.randn(5, 8, dtype=dtype), number(2)
    raw, check = torch.ops.aixmeg, torch.library.opcheck
    for op in (raw.fp8_amax, raw.fp8_amax_rows, raw.fp8_amax_columns):
        check(op.default, (x,))
        check(op.default, (x.t(),))
    check(raw.fp8_scale.default, (torch.rand(3), True, 1))
    for row, column in ((one, None), (None, one), (torch.ones(5), torch.ones(8))):
        check(raw.fp8_quantize.default, (x, row, column, False, False, None))
    check(raw.fp8_quantize.default, (x, one, one, True, True, number(0)))
    history = (torch.zeros(2, 3), torch.rand(2), torch.ones(2), torch.ones(2), torch.tensor([True, False]))
    check(raw.fp8_update_history.default, (*history, 1, 0))


def test_one_graph_through_torch_compile():
    def quantised(x):
        scale, inv = fp8_scale(fp8_amax(x), E4M3)
        q, transposed = fp8_quantize_transpose(x, scale, E4M3)
        return q.float() * inv, transposed.float()

    x = torch.randn(6, 20)
    compiled = torch.compile(quantised, fullgraph=True, backend="aot_eager")
    for mine, eager in zip(compiled(x), quantised(x), strict=True):
        assert torch.equal(mine, eager)
    meta = torch.empty(3, 8, device="meta")
    assert fp8_quantize(meta, torch.empty((), device="meta"), E5M2).dtype == E5M2
