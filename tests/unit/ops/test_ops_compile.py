"""torch's own checks of the registrations, and the ops inside torch.compile."""

import pytest
import torch

from aixmeg import ops

F32, BF16 = torch.float32, torch.bfloat16
RAW = torch.ops.aixmeg


def randn(*shape, dtype=F32, grad=False):
    return torch.randn(*shape, dtype=dtype, requires_grad=grad)


def samples(dtype):
    """Arguments of every op: with gradients where it is differentiable, strided, and empty."""
    table, target, rows = torch.rand(4, 3), torch.randint(0, 9, (5,)), torch.rand(5)
    return {
        "rms_norm_forward": [
            (randn(3, 5, 9, dtype=dtype, grad=True), randn(9, dtype=dtype, grad=True), 1e-5),
            (randn(9, 5, dtype=dtype).t(), randn(9, dtype=dtype), 1e-5),
            (randn(0, 9, dtype=dtype), randn(9, dtype=dtype), 1e-5),
        ],
        "rms_norm_backward": [
            (randn(5, 9, dtype=dtype), randn(9, 5, dtype=dtype).t(), randn(9, dtype=dtype), torch.rand(5))
        ],
        "add_rms_norm_forward": [
            (*(randn(5, 9, dtype=dtype, grad=True) for _ in range(2)), randn(9, dtype=dtype, grad=True), 1e-5),
            (randn(9, 5, dtype=dtype).t(), randn(5, 9, dtype=dtype), randn(9, dtype=dtype), 1e-5),
        ],
        "add_rms_norm_backward": [
            (*(randn(5, 9, dtype=dtype) for _ in range(3)), randn(9, dtype=dtype), torch.rand(5)),
        ],
        "rotary_qkv": [
            (randn(4, 2, 3, 24, dtype=dtype, grad=True), table, table, None),
            (randn(2, 4, 3, 24, dtype=dtype).transpose(0, 1), table, table, torch.randint(0, 4, (4, 2))),
        ],
        "rotary_qkv_backward": [
            (randn(4, 2, 6, 6, dtype=dtype), *(randn(4, 2, 3, 6, dtype=dtype) for _ in range(2)), table, table, None),
        ],
        "swiglu_forward": [(randn(3, 5, 8, dtype=dtype, grad=True),), (randn(8, 6, dtype=dtype).t(),)],
        "swiglu_backward": [(randn(5, 4, dtype=dtype), randn(8, 5, dtype=dtype).t())],
        "rotary": [
            (randn(4, 2, 3, 6, dtype=dtype, grad=True), table, table, False),
            (randn(2, 4, 3, 12, dtype=dtype).transpose(0, 1)[..., ::2], table, table, True),
        ],
        "cross_entropy_statistics": [
            (randn(5, 9, dtype=dtype), target, 0, 9, -100, False),
            (randn(5, 3, dtype=dtype), target, 3, 9, 2, True),
        ],
        "cross_entropy_backward": [(randn(5, 9, dtype=dtype), target, 0, rows, rows, rows, 9, -100, 0.1, 0.1)],
        "cross_entropy_backward_": [(randn(5, 9, dtype=dtype), target, 0, rows, rows, rows, 9, -100, 0.1, 0.1)],
    }


@pytest.mark.parametrize("dtype", [F32, BF16], ids=["float", "bfloat16"])
@pytest.mark.parametrize("name", list(samples(F32)))
def test_opcheck(name, dtype):
    for arguments in samples(dtype)[name]:
        torch.library.opcheck(getattr(RAW, name).default, arguments)


def block(x, weight, cos, sin, target):
    """The layer ops in one graph: x [s, b, h]."""
    normed, total = ops.add_rms_norm(ops.rms_norm(x, weight, 1e-5), x, weight, 1e-5)
    query, _, value = ops.rotary_qkv(total.view(*x.shape[:2], 1, -1), cos, sin)
    normed = normed + query.flatten(2).repeat(1, 1, 2) * value.flatten(2).repeat(1, 1, 4)
    # view, not unflatten: dynamo cannot follow the latter's super() call below a torch-function mode, and the CPU
    # adaptor of megatron-core is one, if another test of this process has installed it
    turned = ops.rotary(normed.view(*x.shape[:2], 4, -1), cos, sin).flatten(2)
    return ops.vocab_parallel_cross_entropy(ops.swiglu(turned), target)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_one_graph_through_torch_compile(backend):
    torch.manual_seed(0)
    cos, sin = ops.rotary_tables(6, 16, 1e4)
    compiled = torch.compile(block, fullgraph=True, backend=backend)
    for dtype in (F32, BF16) if backend == "aot_eager" else (F32,):
        x, weight, target = randn(6, 2, 64, dtype=dtype), randn(64, dtype=dtype), torch.randint(0, 32, (6, 2))
        results = []
        for function in (block, compiled):
            inputs = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
            loss = function(*inputs, cos, sin, target)
            loss.sum().backward()
            results.append([loss.detach(), *(tensor.grad for tensor in inputs)])
        for eager, from_graph in zip(*results, strict=True):
            torch.testing.assert_close(from_graph, eager, rtol=1e-5, atol=1e-5)  # the graph may reorder float sums


def test_other_lengths_do_not_break_the_graph():
    compiled = torch.compile(lambda x: ops.swiglu(x).sum(), fullgraph=True, backend="aot_eager", dynamic=True)
    for length in (3, 8, 21):
        x = randn(length, 10)
        torch.testing.assert_close(compiled(x), ops.swiglu(x).sum())


def test_meta_tensors_know_their_shapes():
    x, weight = torch.empty(3, 2, 8, device="meta"), torch.empty(8, device="meta")
    assert ops.rms_norm(x, weight, 1e-5).shape == (3, 2, 8)
    assert ops.swiglu(x).shape == (3, 2, 4)
    assert ops.rotary(x.view(3, 1, 2, 8), *ops.rotary_tables(3, 8, 1e4, device="meta")).shape == (3, 1, 2, 8)
    target = torch.empty(3, 2, dtype=torch.int64, device="meta")
    assert ops.vocab_parallel_cross_entropy(x, target).shape == (3, 2)
