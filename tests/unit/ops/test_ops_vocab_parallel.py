"""Cross-entropy, alone and fused with the output layer, with the vocabulary over two gloo ranks equals that of one."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from nearness import assert_near, leaf

from aixmeg.ops import (
    linear_cross_entropy,
    reference_cross_entropy,
    reference_linear_cross_entropy,
    vocab_parallel_cross_entropy,
)

RANKS = 2
OPTIONS = {"ignore_index": 50, "label_smoothing": 0.1, "z_loss": 1e-3}


def make_case(dtype):
    torch.manual_seed(0)
    logits = torch.randn(7, 3, 2 * 37, dtype=dtype) * 5
    logits[2, 1, :37] = float("-inf")  # the first rank's whole slice
    logits[3, 1] += 1000
    target, grad = torch.randint(0, 74, (7, 3)), torch.randn(7, 3)
    target[2, 1] = 50
    return logits, target, grad


def make_linear_case(dtype):
    torch.manual_seed(1)
    hidden, weight = torch.randn(6, 3, 16, dtype=dtype), torch.randn(2 * 37, 16, dtype=dtype) / 4
    target, grad = torch.randint(0, 74, (6, 3)), torch.randn(6, 3)
    target[0, 0] = OPTIONS["ignore_index"]
    return hidden, weight, target, grad


def work_linear(rank, group, dtype, sequence_parallel):
    hidden, weight, target, grad = make_linear_case(dtype)
    if sequence_parallel:
        hidden = hidden.chunk(RANKS)[rank].contiguous()
    hidden.requires_grad_()
    weight = weight.chunk(RANKS)[rank].contiguous().requires_grad_()
    loss = linear_cross_entropy(
        hidden, weight, target, group=group, sequence_parallel=sequence_parallel, chunk_rows=5, **OPTIONS
    )
    loss.backward(grad)
    return loss.detach(), hidden.grad, weight.grad


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    group = dist.new_group([0, 1])
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        logits, target, grad = make_case(dtype)
        mine = logits.chunk(RANKS, -1)[rank].contiguous().requires_grad_()
        before = mine.detach().clone()
        loss = vocab_parallel_cross_entropy(mine, target, group=group)
        loss.backward(grad)
        assert torch.equal(mine, before)
        results[str(dtype)] = (loss.detach(), mine.grad)
        logits = logits.clamp(min=-1e4)  # smoothing spreads probability over every id: -inf costs infinitely much
        mine = logits.chunk(RANKS, -1)[rank].contiguous().requires_grad_()
        loss = vocab_parallel_cross_entropy(mine, target, group=group, **OPTIONS)
        loss.backward(grad)
        results[f"options {dtype}"] = (loss.detach(), mine.grad)

        for parallel in (False, True):
            results[f"linear {dtype} {parallel}"] = work_linear(rank, group, dtype, parallel)

    logits, target, grad = make_case(torch.float32)
    mine = logits.chunk(RANKS, -1)[rank].contiguous().requires_grad_()
    compiled = torch.compile(
        lambda x, t: vocab_parallel_cross_entropy(x, t, group=group), fullgraph=True, backend="aot_eager"
    )
    loss = compiled(mine, target)
    loss.backward(grad)
    results["compiled"] = (loss.detach(), mine.grad)

    bad = target.clone()
    bad[0, 0] = 74  # inside neither slice
    try:
        vocab_parallel_cross_entropy(mine, bad, group=group)
    except RuntimeError as error:
        results["error"] = str(error)
    empty = vocab_parallel_cross_entropy(mine[:0], target[:0], group=group)
    results["empty"] = tuple(empty.shape)
    torch.save(results, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab_parallel")
    mp.spawn(work, args=(folder,), nprocs=RANKS)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(RANKS)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
def test_equals_float64_of_the_whole_vocabulary(results, dtype):
    logits, target, grad = make_case(dtype)
    logits64 = leaf(logits)
    expected = reference_cross_entropy(logits64, target)
    expected.backward(grad.double())
    for rank, slice64 in enumerate(logits64.grad.chunk(RANKS, -1)):
        loss, gradient = results[rank][str(dtype)]
        assert loss.dtype == torch.float32
        assert gradient.dtype == dtype
        assert_near(loss, expected.detach(), f"loss of rank {rank}")
        assert_near(gradient, slice64, f"gradient of rank {rank}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
def test_options_equal_float64_of_the_whole_vocabulary(results, dtype):
    logits, target, grad = make_case(dtype)
    logits64 = leaf(logits.clamp(min=-1e4))
    expected = reference_cross_entropy(logits64, target, **OPTIONS)
    expected.backward(grad.double())
    assert (target == OPTIONS["ignore_index"]).any()
    for rank, slice64 in enumerate(logits64.grad.chunk(RANKS, -1)):
        loss, gradient = results[rank][f"options {dtype}"]
        assert_near(loss, expected.detach(), f"loss of rank {rank}")
        assert_near(gradient, slice64, f"gradient of rank {rank}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
@pytest.mark.parametrize("sequence_parallel", [False, True], ids=["tp", "tp+sp"])
def test_fused_with_the_output_layer(results, dtype, sequence_parallel):
    hidden, weight, target, grad = make_linear_case(dtype)
    hidden64, weight64 = leaf(hidden), leaf(weight)
    expected = reference_linear_cross_entropy(hidden64, weight64, target, **OPTIONS)
    expected.backward(grad.double())
    for rank in range(RANKS):
        loss, dhidden, dweight = results[rank][f"linear {dtype} {sequence_parallel}"]
        part = hidden64.grad.chunk(RANKS)[rank] if sequence_parallel else hidden64.grad
        for name, found, exact in (
            ("loss", loss, expected.detach()), ("dhidden", dhidden, part),
            ("dweight", dweight, weight64.grad.chunk(RANKS)[rank]),
        ):  # fmt: skip
            if dtype == torch.float32:
                assert_near(found, exact, f"{name} of rank {rank}")
            else:  # logits, their gradients and the ranks' parts of dhidden are rounded to bf16, 2^-9 of each
                error = (found.double() - exact).norm() / exact.norm()
                assert error < 2.0**-7, f"{name} of rank {rank}: {error}"
    assert torch.equal(results[0][f"linear {dtype} {sequence_parallel}"][0],
                       results[1][f"linear {dtype} {sequence_parallel}"][0])  # fmt: skip


def test_ranks_hold_the_same_loss(results):
    assert torch.equal(results[0]["torch.float32"][0], results[1]["torch.float32"][0])


def test_one_graph_through_torch_compile(results):
    for rank in range(RANKS):
        for eager, compiled in zip(results[rank]["torch.float32"], results[rank]["compiled"], strict=True):
            torch.testing.assert_close(compiled, eager)


def test_a_target_outside_the_whole_vocabulary_is_an_error_on_every_rank(results):
    for rank in range(RANKS):
        assert "target 74 at row 0 is outside the vocabulary [0, 74)" in results[rank]["error"]


def test_no_tokens(results):
    assert results[0]["empty"] == results[1]["empty"] == (0, 3)
