"""Rotary embedding against float64 and against transformers, over head counts, sizes and strides."""

import pytest
import torch
from nearness import assert_near, leaf

from aixmeg.errors import UserError
from aixmeg.ops import reference_rotary, rotary, rotary_tables

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])


def check(x, dy):
    x.requires_grad_()
    cos, sin = rotary_tables(x.shape[0], x.shape[-1], 10_000.0, offset=3)
    x64 = leaf(x)
    expected = reference_rotary(x64, cos.double(), sin.double())
    expected.backward(dy.double())
    y = rotary(x, cos, sin)
    y.backward(dy)
    assert y.is_contiguous()
    assert y.dtype == x.dtype == x.grad.dtype
    assert_near(y.detach(), expected.detach(), "y")
    assert_near(x.grad, x64.grad, "dx")


@DTYPES
@pytest.mark.parametrize("head_size", [2, 6, 16, 34, 64, 128, 250])
@pytest.mark.parametrize(("sequence", "batch", "heads"), [(1, 1, 1), (5, 2, 3), (9, 1, 8)])
def test_float64(sequence, batch, heads, head_size, dtype):
    torch.manual_seed(head_size)
    x, dy = (torch.randn(sequence, batch, heads, head_size, dtype=dtype) for _ in range(2))
    check(x, dy)


@DTYPES
def test_float64_of_queries_and_keys_inside_a_joint_projection(dtype):
    """Grouped-query heads as they lie in one projection: per group four query heads, a key, a value."""
    torch.manual_seed(0)
    joint = torch.randn(4, 3, 2, 6, 16, dtype=dtype)  # [s, b, ng, 4 + 1 + 1, hn]
    queries, keys = joint[:, :, :, :4].flatten(2, 3), joint[:, :, :, 4]
    for part, heads in ((queries, 8), (keys, 2)):
        assert part.shape[2] == heads
        check(part.detach(), torch.randn(4, 3, heads, 16, dtype=dtype))
    check(torch.randn(3, 5, 2, 32, dtype=dtype)[..., ::2].detach(), torch.randn(16, dtype=dtype).expand(3, 5, 2, 16))


@pytest.mark.parametrize("shape", [(0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4), (2, 3, 4, 0)])
def test_of_nothing(shape):
    x = torch.empty(shape, requires_grad=True)
    table = torch.empty(shape[0], shape[3] // 2)
    y = rotary(x, table, table)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape


def test_is_what_transformers_computes():
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    length, base = 700, 256_000.0
    config = LlamaConfig(hidden_size=64, num_attention_heads=2, num_key_value_heads=1, rope_theta=base)
    config.rope_parameters = {"rope_type": "default", "rope_theta": base}
    queries, keys = torch.randn(length, 1, 2, 32), torch.randn(length, 1, 1, 32)
    position = torch.arange(length)[None]
    cos_hf, sin_hf = LlamaRotaryEmbedding(config)(queries, position)  # [b, s, hn]
    expected = apply_rotary_pos_emb(queries.permute(1, 2, 0, 3), keys.permute(1, 2, 0, 3), cos_hf, sin_hf)

    cos, sin = rotary_tables(length, 32, base)
    # The same float32 formula: the angles agree to a rounding of the power function, 1e-7 of up to 700 radians.
    torch.testing.assert_close(cos, cos_hf[0, :, :16], rtol=0, atol=1e-4)
    torch.testing.assert_close(sin, sin_hf[0, :, :16], rtol=0, atol=1e-4)
    for mine, theirs in zip((queries, keys), expected, strict=True):
        turned = rotary(mine, cos_hf[0, :, :16].contiguous(), sin_hf[0, :, :16].contiguous())
        torch.testing.assert_close(turned.permute(1, 2, 0, 3), theirs, rtol=0, atol=1e-6)


def test_float64_rounds_to_bfloat16_as_torch_does():
    """Turning (1, 0) returns the table itself: every exponent, ties both ways, the largest numbers, NaN payloads."""
    upper = torch.arange(0, 1 << 16, 3, dtype=torch.int64) << 16
    lower = torch.tensor([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    bits = (upper[:, None] | lower).flatten()
    values = torch.cat((bits, bits + (1 << 16))).to(torch.int32).view(torch.float32)
    values = torch.where(values.abs() < 2.0**-126, 0.0, values)  # the product may flush what is below normal numbers
    values = torch.cat((values, torch.tensor([0x7FFFFFFF, 0x7FC00001], dtype=torch.int32).view(torch.float32)))
    x = torch.tensor([1.0, 0.0], dtype=torch.bfloat16).repeat(len(values), 1)[:, None, None]
    cos = torch.where(values.isinf(), 0.0, values)[:, None]  # infinity times the zero would be NaN
    turned = rotary(x, cos, torch.zeros_like(cos))[:, 0, 0, 0]
    expected = cos[:, 0].to(torch.bfloat16)
    assert torch.equal(turned.isnan(), expected.isnan())
    assert torch.equal(turned[~expected.isnan()], expected[~expected.isnan()])


def test_tables_continue_at_an_offset():
    cos, sin = rotary_tables(10, 8, 10_000.0)
    later_cos, later_sin = rotary_tables(4, 8, 10_000.0, offset=6)
    assert torch.equal(cos[6:], later_cos)
    assert torch.equal(sin[6:], later_sin)
    assert torch.equal(cos[0], torch.ones(4))


def test_scores_depend_on_the_distance_only():
    query, key = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 1, 64)

    def score(at, distance):
        turned = rotary(query, *rotary_tables(1, 64, 10_000.0, offset=at + distance))
        return (turned * rotary(key, *rotary_tables(1, 64, 10_000.0, offset=at))).sum()

    torch.testing.assert_close(score(0, 5), score(90, 5), rtol=0, atol=1e-3)  # angles of 95 rounded to float32


def test_input_is_left_alone():
    x = torch.randn(5, 2, 3, 8, requires_grad=True)
    before = x.detach().clone()
    rotary(x, *rotary_tables(5, 8, 10_000.0)).sum().backward()
    assert torch.equal(x, before)


X = torch.ones(3, 2, 4, 8)
TABLE = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("x", "cos", "sin", "message"),
    [
        (torch.ones(3, 4, 8), TABLE, TABLE, r"x has shape \[3, 4, 8\]; it must be \[s, b, np, hn\]"),
        (torch.ones(3, 2, 4, 7), TABLE, TABLE, r"x has shape \[3, 2, 4, 7\]"),
        (X, torch.ones(2, 4), TABLE, r"cos is torch.float32 \[2, 4\] on cpu; x \[3, 2, 4, 8\].*\[3, 4\]"),
        (X, TABLE, torch.ones(3, 8), r"sin is torch.float32 \[3, 8\]"),
        (X, TABLE.bfloat16(), TABLE, r"cos is torch.bfloat16 \[3, 4\]"),
        (X.half(), TABLE, TABLE, r"x is torch.float16"),
    ],
)
def test_bad_input_is_named(x, cos, sin, message):
    with pytest.raises(UserError, match=message):
        rotary(x, cos, sin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 7, 1e4), "head_size=7 must be even"),
        ((4, 0, 1e4), "head_size=0"),
        ((-1, 8, 1e4), "seq_length=-1"),
        ((4, 8, 0.0), "base=0.0"),
    ],
)
def test_bad_tables_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        rotary_tables(*arguments)


def test_a_wrong_call_past_the_checks_is_an_exception():
    with pytest.raises(RuntimeError, match="cos or sin has the wrong shape"):
        torch.ops.aixmeg.rotary(X, torch.ones(2, 4), TABLE, False)
    with pytest.raises(RuntimeError, match="cos or sin has the wrong dtype"):
        torch.ops.aixmeg.rotary(X, TABLE.double(), TABLE, False)
