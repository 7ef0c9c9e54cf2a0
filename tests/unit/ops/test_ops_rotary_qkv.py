"""Rotary embedding of packed projections against float64: head counts, positions, strides."""

import pytest
import torch
from nearness import assert_near, leaf

from aixmeg.errors import UserError
from aixmeg.ops import reference_rotary, reference_rotary_qkv, rotary, rotary_qkv, rotary_tables

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])


def check(mixed, head_size, positions, rows=20):
    mixed.requires_grad_()
    cos, sin = rotary_tables(rows, head_size, 10_000.0)
    mixed64 = leaf(mixed)
    expected = reference_rotary_qkv(mixed64, cos.double(), sin.double(), positions=positions)
    found = rotary_qkv(mixed, cos, sin, positions=positions)
    gradients = [torch.randn(part.shape, dtype=mixed.dtype) for part in found]
    torch.autograd.backward(found, gradients)
    torch.autograd.backward(expected, [gradient.double() for gradient in gradients])
    for name, ours, exact in zip("qkv", found, expected, strict=True):
        assert ours.is_contiguous()
        assert ours.dtype == mixed.dtype
        assert_near(ours.detach(), exact.detach(), name)
    assert_near(mixed.grad, mixed64.grad, "dmixed")


@DTYPES
@pytest.mark.parametrize("head_size", [2, 6, 16, 34, 128])
@pytest.mark.parametrize(("groups", "heads"), [(1, 1), (2, 4), (3, 1), (1, 8)])
@pytest.mark.parametrize("given", ["none", "shared", "each"])
def test_float64(groups, heads, head_size, given, dtype):
    torch.manual_seed(head_size)
    positions = {"none": None, "shared": torch.randint(0, 20, (7,)), "each": torch.randint(0, 20, (7, 2))}[given]
    check(torch.randn(7, 2, groups, (heads + 2) * head_size, dtype=dtype), head_size, positions)


@DTYPES
def test_float64_of_strided_tensors(dtype):
    torch.manual_seed(0)
    mixed = torch.randn(2, 5, 3, 2 * 4 * 16, dtype=dtype).transpose(0, 1)[..., ::2].detach()
    check(mixed, 16, torch.randint(0, 20, (2, 5)).t())


def test_reference_is_the_rotary_op_s():
    """Two references that were written apart: queries and keys cut out of the projection and turned."""
    mixed = torch.randn(6, 2, 3, 6 * 8, dtype=torch.float64)
    cos, sin = (table.double() for table in rotary_tables(6, 8, 1e4))
    q, k, v = reference_rotary_qkv(mixed, cos, sin)
    queries, keys, values = mixed.split([4 * 8, 8, 8], dim=-1)
    assert torch.equal(q, reference_rotary(queries.reshape(6, 2, 12, 8), cos, sin))
    assert torch.equal(k, reference_rotary(keys, cos, sin))
    assert torch.equal(v, values)


@DTYPES
def test_equals_the_separate_op_bit_for_bit(dtype):
    mixed = torch.randn(6, 2, 3, 6 * 8, dtype=dtype)
    cos, sin = rotary_tables(6, 8, 1e4)
    queries, keys, values = mixed.split([4 * 8, 8, 8], dim=-1)
    q, k, v = rotary_qkv(mixed, cos, sin)
    assert torch.equal(q, rotary(queries.reshape(6, 2, 12, 8), cos, sin))
    assert torch.equal(k, rotary(keys, cos, sin))
    assert torch.equal(v, values)


def test_positions_that_restart_at_a_document_equal_the_document_alone():
    mixed, (cos, sin) = torch.randn(9, 1, 2, 3 * 8), rotary_tables(9, 8, 1e4)
    packed = rotary_qkv(mixed, cos, sin, positions=torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 4]))
    for first, last in ((0, 4), (4, 9)):
        for whole, alone in zip(packed, rotary_qkv(mixed[first:last], cos, sin), strict=True):
            assert torch.equal(whole[first:last], alone)


def test_positions_of_a_context_parallel_rank():
    """Rank 0 of two holds the first and the last quarter of the sequence."""
    mixed, (cos, sin) = torch.randn(8, 2, 2, 4 * 8), rotary_tables(8, 8, 1e4)
    rows = torch.tensor([0, 1, 6, 7])
    for whole, part in zip(rotary_qkv(mixed, cos, sin), rotary_qkv(mixed[rows], cos, sin, positions=rows), strict=True):
        assert torch.equal(whole[rows], part)


def test_gradient_where_one_of_the_three_is_not_used():
    mixed = torch.randn(4, 1, 2, 3 * 8, requires_grad=True)
    rotary_qkv(mixed, *rotary_tables(4, 8, 1e4))[1].sum().backward()
    heads = mixed.grad.view(4, 1, 2, 3, 8)
    assert not heads[..., 0, :].any()
    assert heads[..., 1, :].any()
    assert not heads[..., 2, :].any()


@pytest.mark.parametrize("shape", [(0, 2, 3, 32), (2, 0, 3, 32)])
def test_of_nothing(shape):
    mixed = torch.empty(shape, requires_grad=True)
    found = rotary_qkv(mixed, *rotary_tables(2, 8, 1e4))
    sum(part.sum() for part in found).backward()
    assert [tuple(part.shape) for part in found] == [(*shape[:2], 6, 8), (*shape[:2], 3, 8), (*shape[:2], 3, 8)]
    assert mixed.grad.shape == shape


@pytest.mark.parametrize("bad", [-1, 5])
def test_a_position_outside_the_tables_is_named(bad):
    positions = torch.zeros(3, 2, dtype=torch.int64)
    positions[1, 1] = bad
    with pytest.raises(RuntimeError, match=rf"position {bad} of token 3 is outside the tables' rows \[0, 5\)"):
        rotary_qkv(torch.ones(3, 2, 1, 24), *rotary_tables(5, 8, 1e4), positions=positions)


MIXED, TABLE = torch.ones(3, 2, 2, 4 * 8), torch.ones(3, 4)


@pytest.mark.parametrize(
    ("mixed", "cos", "sin", "positions", "message"),
    [
        (MIXED[0], TABLE, TABLE, None, r"mixed_qkv has shape \[2, 2, 32\].*\[s, b, ng, \(np/ng \+ 2\) \* 8\]"),
        (MIXED[..., :31], TABLE, TABLE, None, r"mixed_qkv has shape \[3, 2, 2, 31\]"),
        (MIXED[..., :16], TABLE, TABLE, None, r"mixed_qkv has shape \[3, 2, 2, 16\]"),
        (MIXED, TABLE[:2], TABLE[:2], None, "the tables have 2 rows for a sequence of 3"),
        (MIXED, TABLE, TABLE[:, :3], None, r"sin has shape \[3, 3\], cos \[3, 4\]"),
        (MIXED, TABLE[:, :0], TABLE[:, :0], None, r"cos has shape \[3, 0\]"),
        (MIXED, TABLE.double(), TABLE, None, "cos is torch.float64"),
        (MIXED, TABLE, TABLE, torch.zeros(2, dtype=torch.int64), r"positions are torch.int64 \[2\].*\[3\] or \[3, 2\]"),
        (MIXED, TABLE, TABLE, torch.zeros(3), r"positions are torch.float32 \[3\]"),
        (MIXED.half(), TABLE, TABLE, None, "mixed_qkv is torch.float16"),
    ],
)
def test_bad_input_is_named(mixed, cos, sin, positions, message):
    with pytest.raises(UserError, match=message):
        rotary_qkv(mixed, cos, sin, positions=positions)


def test_a_wrong_call_past_the_checks_is_an_exception():
    ops = torch.ops.aixmeg
    with pytest.raises(RuntimeError, match="a width of 32 does not hold queries, a key and a value of head size 20"):
        ops.rotary_qkv(MIXED, torch.ones(3, 10), torch.ones(3, 10), None)
    with pytest.raises(RuntimeError, match="cos has 2 rows for 3 positions"):
        ops.rotary_qkv(MIXED, TABLE[:2], TABLE[:2], None)
    with pytest.raises(RuntimeError, match="positions has the wrong dtype"):
        ops.rotary_qkv(MIXED, TABLE, TABLE, torch.zeros(3, 2))
    q, k = torch.ones(3, 2, 4, 8), torch.ones(3, 2, 2, 8)
    with pytest.raises(RuntimeError, match="dq has the wrong shape"):
        ops.rotary_qkv_backward(q[:, :, :3], k, k, TABLE, TABLE, None)
    with pytest.raises(RuntimeError, match="dv has the wrong shape"):
        ops.rotary_qkv_backward(q, k, k[:2], TABLE, TABLE, None)
    with pytest.raises(RuntimeError, match="dk has the wrong shape|dq has the wrong shape"):
        ops.rotary_qkv_backward(q, k[:2], k[:2], TABLE, TABLE, None)
