"""The output layer fused with its loss: against float64, and the memory it takes. Ranks: test_ops_vocab_parallel.py."""

import pytest
import torch
from largest_tensor import LargestTensor
from nearness import assert_near, leaf
from torch.utils._python_dispatch import TorchDispatchMode

from aixmeg.errors import UserError
from aixmeg.ops import linear_cross_entropy, products, reference_linear_cross_entropy, vocab_parallel_cross_entropy

BOTH = {"ignore_index": 1, "label_smoothing": 0.1, "z_loss": 1e-3}


def case(sequence, batch, hidden, vocabulary, dtype=torch.float32):
    torch.manual_seed(vocabulary)
    x = torch.randn(sequence, batch, hidden, dtype=dtype, requires_grad=True)
    weight = (torch.randn(vocabulary, hidden, dtype=dtype) / 4).requires_grad_()
    return x, weight, torch.randint(0, vocabulary, (sequence, batch)), torch.randn(sequence, batch)


@pytest.mark.parametrize("options", [{}, BOTH], ids=["plain", "options"])
@pytest.mark.parametrize("chunk_rows", [1, 4, 5, 18, 1000])
@pytest.mark.parametrize("vocabulary", [2, 37, 256])
def test_float64(vocabulary, chunk_rows, options):
    x, weight, target, grad = case(9, 2, 12, vocabulary)
    x64, weight64 = leaf(x), leaf(weight)
    expected = reference_linear_cross_entropy(x64, weight64, target, **options)
    expected.backward(grad.double())
    loss = linear_cross_entropy(x, weight, target, chunk_rows=chunk_rows, **options)
    loss.backward(grad)
    assert loss.dtype == torch.float32
    assert_near(loss.detach(), expected.detach(), "loss")
    assert_near(x.grad, x64.grad, "dhidden")
    assert_near(weight.grad, weight64.grad, "dweight")


@pytest.mark.parametrize("in_bf16", [False, True])
def test_bfloat16_is_nearer_to_float64_than_the_unfused_path(in_bf16, monkeypatch):
    """The unfused path rounds logits and their gradient to bf16. So does this one where the processor multiplies in
    bf16; then what differs is the weight's gradient, summed over chunks in float32."""
    monkeypatch.setattr(products, "multiplies_bf16", lambda: in_bf16)
    x, weight, target, grad = case(300, 1, 32, 64, torch.bfloat16)
    x64, weight64 = leaf(x), leaf(weight)
    expected = reference_linear_cross_entropy(x64, weight64, target)
    expected.backward(grad.double())
    unfused = vocab_parallel_cross_entropy(x @ weight.t(), target)
    unfused.backward(grad)
    plain, x.grad, weight.grad = (unfused.detach(), x.grad, weight.grad), None, None
    loss = linear_cross_entropy(x, weight, target, chunk_rows=7)
    loss.backward(grad)
    assert x.grad.dtype == weight.grad.dtype == torch.bfloat16
    exact = (expected.detach(), x64.grad, weight64.grad)
    for name, ours, theirs, true in zip(
        ("loss", "dhidden", "dweight"), (loss.detach(), x.grad, weight.grad), plain, exact, strict=True
    ):
        error, other = ((found.double() - true).norm() / true.norm() for found in (ours, theirs))
        # Rounding a gradient once costs 2^-9 / sqrt(3) of its norm at most, whatever came before; the loss is not
        # rounded. 5 %: the two round sums of the same size in different places.
        assert error <= other * 1.05, name
        assert in_bf16 or error < (1e-6 if name == "loss" else 2.0**-9), name


def test_a_second_backward_pass_makes_the_kept_logits_again():
    x, weight, target, grad = case(9, 2, 12, 37)
    loss = linear_cross_entropy(x, weight, target, chunk_rows=18)
    first = torch.autograd.grad(loss, (x, weight), grad, retain_graph=True)
    for mine, other in zip(torch.autograd.grad(loss, (x, weight), grad), first, strict=True):
        assert torch.equal(mine, other)


def test_logits_are_made_again_but_for_the_last_chunk_s():
    """Products counted: k chunks take 4k - 1, the unfused path 3."""

    class Products(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func in {torch.ops.aten.mm.default, torch.ops.aten.addmm_.default, torch.ops.aten.addmm.out}
            return func(*args, **(kwargs or {}))

    for chunks in (1, 2, 3):
        x, weight, target, grad = case(12, 1, 8, 16)
        with Products() as products:
            linear_cross_entropy(x, weight, target, chunk_rows=12 // chunks).backward(grad)
        assert products.count == 4 * chunks - 1
        with Products() as products, torch.no_grad():
            linear_cross_entropy(x, weight, target, chunk_rows=12 // chunks)
        assert products.count == chunks


def largest_tensor(run):
    with LargestTensor() as watch:
        run().sum().backward()
    return watch.largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
def test_no_tensor_holds_the_logits(dtype):
    x, weight, target, _ = case(96, 2, 8, 512, dtype)
    rows, vocabulary, chunk = 192, 512, 10
    fused = largest_tensor(lambda: linear_cross_entropy(x, weight, target, chunk_rows=chunk))
    assert fused == chunk * vocabulary  # more than the weight's gradient, less than a ninth of the logits
    unfused = largest_tensor(lambda: vocab_parallel_cross_entropy(x @ weight.t(), target))
    assert unfused == rows * vocabulary  # the watch sees them where they exist


def test_one_chunk_s_logits_exist_at_a_time():
    """What the allocator hands out at the peak: one chunk of logits and little else."""
    x, weight, target, _ = case(256, 1, 4, 4096)
    chunk = 16 * 4096 * 4

    def peak(run):
        with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            run().sum().backward()
        events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
        held = highest = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            held += event.nbytes()
            highest = max(highest, held)
        return highest

    small = 3 * weight.numel() * 4  # the weight's gradient, its copy for .grad, and as much again for all small things
    assert chunk < peak(lambda: linear_cross_entropy(x, weight, target, chunk_rows=16)) < chunk + small
    assert peak(lambda: vocab_parallel_cross_entropy(x @ weight.t(), target)) > 16 * chunk


def test_weight_gradient_goes_into_main_grad():
    """megatron-core's protocol: added, announced, and a stand-in for autograd that its hook may throw away."""
    for dtype in (torch.float32, torch.bfloat16):
        x, weight, target, grad = case(10, 2, 16, 40, dtype)
        linear_cross_entropy(x, weight, target, chunk_rows=6).backward(grad)
        expected, weight.grad = weight.grad, None
        weight.main_grad, weight.grad_added_to_main_grad = torch.ones(40, 16), False
        for zero_out in (False, True):
            weight.grad, weight.zero_out_wgrad = None, zero_out
            linear_cross_entropy(x, weight, target, chunk_rows=6, accumulate_into_main_grad=True).backward(grad)
            assert weight.grad_added_to_main_grad
            assert weight.grad.shape == weight.shape
        assert not weight.grad.any()  # what another use of the weight is added to
        added = (weight.main_grad - 1) / 2
        tolerance = {"rtol": 2.0**-8, "atol": 1e-6} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
        torch.testing.assert_close(added, expected.float(), **tolerance)  # main_grad is not rounded to bf16
        del weight.grad_added_to_main_grad  # outside megatron-core's DDP there is no hook to serve
        weight.grad = None
        linear_cross_entropy(x, weight, target, accumulate_into_main_grad=True).backward(grad)
        assert weight.grad is None


def test_a_main_grad_of_bf16_is_added_to_once():
    x, weight, target, grad = case(10, 2, 16, 40, torch.bfloat16)
    linear_cross_entropy(x, weight, target, chunk_rows=3).backward(grad)
    weight.main_grad = torch.zeros(40, 16, dtype=torch.bfloat16)
    linear_cross_entropy(x, weight, target, chunk_rows=3, accumulate_into_main_grad=True).backward(grad)
    assert torch.equal(weight.main_grad, weight.grad)


def test_without_a_main_grad_the_gradient_is_returned():
    x, weight, target, grad = case(5, 1, 8, 20)
    linear_cross_entropy(x, weight, target, accumulate_into_main_grad=True).backward(grad)
    assert weight.grad is not None


@pytest.mark.parametrize("which", ["hidden", "weight"])
def test_only_what_is_asked_for_is_computed(which):
    x, weight, target, grad = case(5, 2, 8, 20)
    frozen = weight if which == "hidden" else x
    frozen.requires_grad_(False)
    linear_cross_entropy(x, weight, target, chunk_rows=3).backward(grad)
    assert frozen.grad is None
    assert (x if which == "hidden" else weight).grad.abs().sum() > 0


@pytest.mark.parametrize("shape", [(0, 2), (2, 0)])
def test_of_nothing(shape):
    x, weight = torch.empty(*shape, 8, requires_grad=True), torch.randn(20, 8, requires_grad=True)
    loss = linear_cross_entropy(x, weight, torch.empty(shape, dtype=torch.int64))
    loss.sum().backward()
    assert loss.shape == shape
    assert torch.equal(weight.grad, torch.zeros(20, 8))


def test_one_graph_through_torch_compile():
    x, weight, target, grad = case(9, 2, 12, 37)
    expected = linear_cross_entropy(x, weight, target, chunk_rows=7, **BOTH)
    gradients = torch.autograd.grad(expected, (x, weight), grad)
    compiled = torch.compile(
        lambda x, w, t: linear_cross_entropy(x, w, t, chunk_rows=7, **BOTH), fullgraph=True, backend="aot_eager"
    )
    loss = compiled(x, weight, target)
    torch.testing.assert_close(loss, expected)
    for ours, other in zip(torch.autograd.grad(loss, (x, weight), grad), gradients, strict=True):
        torch.testing.assert_close(ours, other)


def test_results_do_not_depend_on_the_number_of_threads_beyond_the_products():
    """The kernels' part: the loss of given logits. torch's own products may differ in the last bits."""
    x, weight, target, _ = case(600, 1, 16, 512)
    threads = torch.get_num_threads()
    try:
        losses = []
        for count in (1, 2):
            torch.set_num_threads(count)
            losses.append(linear_cross_entropy(x, weight, target, chunk_rows=128).detach())
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*losses, rtol=1e-6, atol=1e-6)


X, WEIGHT, TARGET = torch.ones(3, 2, 8), torch.ones(20, 8), torch.zeros(3, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X[0], WEIGHT, TARGET), {}, r"hidden has shape \[2, 8\], weight \[20, 8\], target \[3, 2\]"),
        ((X, WEIGHT[:, :7], TARGET), {}, r"weight \[20, 7\]"),
        ((X, WEIGHT[:0], TARGET), {}, r"weight \[0, 8\]"),
        ((X, WEIGHT, TARGET[:2]), {}, r"target \[2, 2\]"),
        ((X, WEIGHT.bfloat16(), TARGET), {}, "hidden torch.float32 on cpu, weight torch.bfloat16 on cpu"),
        ((X, WEIGHT, TARGET.int()), {}, "target is torch.int32"),
        ((X.half(), WEIGHT.half(), TARGET), {}, "hidden is torch.float16"),
        ((X, WEIGHT, TARGET), {"chunk_rows": 0}, "chunk_rows=0 must be at least 1"),
        ((X, WEIGHT, TARGET), {"label_smoothing": -0.1}, "label_smoothing=-0.1"),
    ],
)
def test_bad_input_is_named(arguments, options, message):
    with pytest.raises(UserError, match=message):
        linear_cross_entropy(*arguments, **options)


def test_a_target_outside_the_vocabulary_is_named():
    with pytest.raises(RuntimeError, match=r"target 20 at row 1 is outside the vocabulary \[0, 20\)"):
        linear_cross_entropy(X, WEIGHT, torch.where(torch.arange(6).view(3, 2) == 4, 20, TARGET), chunk_rows=3)
