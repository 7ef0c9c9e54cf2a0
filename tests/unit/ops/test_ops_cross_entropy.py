"""Cross-entropy on one rank against float64; the vocabulary-parallel form is in test_ops_vocab_parallel.py."""

import pytest
import torch
from nearness import assert_near, leaf

from aixmeg.errors import UserError
from aixmeg.ops import reference_cross_entropy, vocab_parallel_cross_entropy

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])


OPTIONS = [
    {"ignore_index": 0},
    {"label_smoothing": 0.1},
    {"label_smoothing": 1.0},
    {"z_loss": 1e-2},
    {"ignore_index": 1, "label_smoothing": 0.3, "z_loss": 1e-3},
]


def check(logits, target, grad, **options):
    logits.requires_grad_()
    logits64 = leaf(logits)
    expected = reference_cross_entropy(logits64, target, **options)
    expected.backward(grad.double())
    loss = vocab_parallel_cross_entropy(logits, target, **options)
    loss.backward(grad)
    assert loss.dtype == torch.float32
    assert logits.grad.dtype == logits.dtype
    assert_near(loss.detach(), expected.detach(), "loss")
    assert_near(logits.grad, logits64.grad, "dlogits")


def test_reference_is_torch_s():
    logits, target = torch.randn(4, 3, 9, dtype=torch.float64), torch.randint(0, 9, (4, 3))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    torch.testing.assert_close(reference_cross_entropy(logits, target), expected.view(4, 3))
    options = {"ignore_index": 5, "label_smoothing": 0.2}
    target[1] = 5
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none", **options)
    torch.testing.assert_close(reference_cross_entropy(logits, target, **options), expected.view(4, 3))
    z = 0.5 * logits[0].logsumexp(-1) ** 2
    torch.testing.assert_close(
        reference_cross_entropy(logits, target, z_loss=0.5)[0], reference_cross_entropy(logits, target)[0] + z
    )


@DTYPES
@pytest.mark.parametrize("vocabulary", [1, 2, 7, 8, 15, 16, 17, 31, 64, 100, 1023, 5000])
@pytest.mark.parametrize(("sequence", "batch"), [(1, 1), (3, 2), (40, 1)])
def test_float64(sequence, batch, vocabulary, dtype):
    torch.manual_seed(vocabulary)
    logits = torch.randn(sequence, batch, vocabulary, dtype=dtype) * 5
    check(logits, torch.randint(0, vocabulary, (sequence, batch)), torch.randn(sequence, batch))


@DTYPES
def test_float64_of_strided_tensors(dtype):
    torch.manual_seed(0)
    logits = torch.randn(33, 4, 6, dtype=dtype).permute(2, 1, 0).detach()  # [6, 4, 33]
    check(logits, torch.randint(0, 33, (4, 6)).t(), torch.ones(1).expand(6, 4))


@DTYPES
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("vocabulary", [2, 17, 1023])
def test_float64_of_options(vocabulary, options, dtype):
    torch.manual_seed(vocabulary)
    target = torch.randint(0, vocabulary, (9, 2))
    target[:2] = 0
    target[2:4] = 1
    check(torch.randn(9, 2, vocabulary, dtype=dtype) * 5, target, torch.randn(9, 2), **options)


def test_smoothed_loss_of_large_logits_keeps_its_precision():
    """Float64 again: the mean of the logits is taken from the maximum."""
    torch.manual_seed(0)
    check(torch.randn(5, 1, 300) + 1e4, torch.randint(0, 300, (5, 1)), torch.ones(5, 1), label_smoothing=0.1)


def test_ignored_tokens_have_no_loss_and_no_gradient_whatever_their_logits():
    logits = torch.randn(3, 1, 8)
    logits[1] = float("nan")
    logits[2] = float("inf")
    logits.requires_grad_()
    loss = vocab_parallel_cross_entropy(logits, torch.tensor([[3], [-100], [-100]]), z_loss=1.0, label_smoothing=0.1)
    loss.sum().backward()
    assert loss[1:].tolist() == [[0.0], [0.0]]
    assert torch.equal(logits.grad[1:], torch.zeros(2, 1, 8))
    assert logits.grad[0].abs().sum() > 0


def test_a_gradient_written_over_the_logits_is_the_same():
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        logits, target, rows = torch.randn(6, 37, dtype=dtype), torch.randint(0, 37, (6,)), torch.rand(6)
        target[2] = -100
        arguments = (target, 0, rows, rows + 1, rows - 0.5, 37, -100, 0.1, 0.01)
        expected = torch.ops.aixmeg.cross_entropy_backward(logits, *arguments)
        assert torch.ops.aixmeg.cross_entropy_backward_(logits, *arguments) is None
        assert torch.equal(logits, expected)
    with pytest.raises(RuntimeError, match="must be contiguous"):
        torch.ops.aixmeg.cross_entropy_backward_(torch.randn(37, 6).t(), *arguments)


@pytest.mark.parametrize("shift", [-1e3, 1e3, 1e4])
def test_float64_of_large_logits(shift):
    """The loss is a difference of numbers of the order of `shift`, but keeps the precision of the small one."""
    torch.manual_seed(0)
    check(torch.randn(5, 1, 100) + shift, torch.randint(0, 100, (5, 1)), torch.ones(5, 1))


def test_gradient_of_float32_logits_is_not_rounded_to_bfloat16():
    """megatron-core's own fused cross-entropy is off by 4e-3 here."""
    torch.manual_seed(0)
    logits, target = torch.randn(8, 1, 200, requires_grad=True), torch.randint(0, 200, (8, 1))
    vocab_parallel_cross_entropy(logits, target).sum().backward()
    expected = torch.softmax(logits.detach().double(), -1) - torch.nn.functional.one_hot(target, 200)
    assert (logits.grad - expected).abs().max() < 1e-6


def test_masked_logits_have_no_probability():
    logits = torch.zeros(1, 2, 8)
    logits[:, :, 5:] = float("-inf")
    logits.requires_grad_()
    loss = vocab_parallel_cross_entropy(logits, torch.tensor([[0, 4]]))
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.full((1, 2), 5.0).log())
    assert torch.equal(logits.grad[:, :, 5:], torch.zeros(1, 2, 3))


def test_nan_is_not_hidden():
    logits = torch.zeros(2, 1, 40)
    logits[0, 0, 17] = float("nan")
    assert vocab_parallel_cross_entropy(logits, torch.tensor([[3], [3]])).isnan().tolist() == [[True], [False]]


@pytest.mark.parametrize("shape", [(0, 2), (2, 0)])
def test_of_nothing(shape):
    logits = torch.empty(*shape, 8, requires_grad=True)
    loss = vocab_parallel_cross_entropy(logits, torch.empty(shape, dtype=torch.int64))
    loss.sum().backward()
    assert loss.shape == shape
    assert logits.grad.shape == logits.shape


def test_logits_are_left_alone():
    logits = torch.randn(5, 2, 9, requires_grad=True)
    before = logits.detach().clone()
    vocab_parallel_cross_entropy(logits, torch.zeros(5, 2, dtype=torch.int64)).sum().backward()
    assert torch.equal(logits, before)


LOGITS = torch.ones(3, 2, 8)
TARGET = torch.zeros(3, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (LOGITS, TARGET[:2], r"logits have shape \[3, 2, 8\], target \[2, 2\]"),
        (torch.ones(3, 2, 0), TARGET, r"logits have shape \[3, 2, 0\]"),
        (LOGITS, TARGET.int(), r"target is torch.int32 on cpu; it must be torch.int64"),
        (LOGITS.half(), TARGET, r"logits is torch.float16"),
    ],
)
def test_bad_input_is_named(logits, target, message):
    with pytest.raises(UserError, match=message):
        vocab_parallel_cross_entropy(logits, target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.5}, r"label_smoothing=1.5 is a share; choose 0 \(off\) to 1"),
        ({"label_smoothing": float("nan")}, "label_smoothing=nan"),
        ({"z_loss": -0.1}, r"z_loss=-0.1 is negative"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        vocab_parallel_cross_entropy(LOGITS, TARGET, **options)


@pytest.mark.parametrize("bad", [-1, 8, 2**40])
def test_a_target_outside_the_vocabulary_is_named(bad):
    target = TARGET.clone()
    target[1, 1] = bad
    with pytest.raises(RuntimeError, match=rf"target {bad} at row 3 is outside the vocabulary \[0, 8\)"):
        vocab_parallel_cross_entropy(LOGITS, target)


def test_a_wrong_call_past_the_checks_is_an_exception():
    ops, rows = torch.ops.aixmeg, torch.zeros(6)
    flat, target = LOGITS.view(6, 8), TARGET.view(6)
    with pytest.raises(RuntimeError, match="target has 3 elements for 6 rows"):
        ops.cross_entropy_statistics(flat, target[:3], 0, 8, -100, False)
    with pytest.raises(RuntimeError, match="target has the wrong dtype"):
        ops.cross_entropy_statistics(flat, target.int(), 0, 8, -100, False)
    with pytest.raises(RuntimeError, match="grad has 5 elements for 6 rows"):
        ops.cross_entropy_backward(flat, target, 0, rows, rows, rows[:5], 8, -100, 0.0, 0.0)
    with pytest.raises(RuntimeError, match=r"label smoothing 2 is outside \[0, 1\]"):
        ops.cross_entropy_backward(flat, target, 0, rows, rows, rows, 8, -100, 2.0, 0.0)
