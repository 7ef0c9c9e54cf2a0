"""AdamW, L2 norm and scaling over lists, against float64 and torch's own optimizer."""

import pytest
import torch
from nearness import assert_near

from aixmeg.errors import UserError
from aixmeg.ops.optimizer import multi_tensor_adamw, multi_tensor_l2_norm, multi_tensor_scale, reference_adamw

F32, BF16 = torch.float32, torch.bfloat16
DTYPES = pytest.mark.parametrize("dtype", [F32, BF16], ids=["float", "bfloat16"])
# Around the vector widths, nothing, more than one chunk of 32768.
SHAPES = [(1,), (7,), (8, 2), (0,), (33, 31), (2, 3, 5), (40_000,)]
STEP = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "step": 3}


def randoms(dtype, make=torch.randn, shapes=SHAPES):
    return [make(shape).to(dtype) for shape in shapes]


@DTYPES
@pytest.mark.parametrize("first", [F32, BF16], ids=["m-float", "m-bfloat16"])
@pytest.mark.parametrize("second", [F32, BF16], ids=["v-float", "v-bfloat16"])
@pytest.mark.parametrize("change", [{}, {"decoupled": False}, {"bias_correction": False}, {"step": 1000}])
def test_one_step_float64(dtype, first, second, change):
    torch.manual_seed(0)
    params, grads, moments, seconds = randoms(F32), randoms(dtype), randoms(first), randoms(second, torch.rand)
    copies = randoms(BF16) if change != {} else []
    lists = zip(params, grads, moments, seconds, strict=True)
    options = {**STEP, **change}
    expected = [reference_adamw(*(tensor.double() for tensor in one), **options) for one in lists]
    multi_tensor_adamw(params, grads, moments, seconds, copies=copies, **options)
    for index, results in enumerate(zip(params, moments, seconds, strict=True)):
        for name, found, wanted in zip(("param", "exp_avg", "exp_avg_sq"), results, expected[index], strict=True):
            assert_near(found, wanted, f"{name}[{index}]")
    for copy, param in zip(copies, params, strict=bool(copies)):
        assert torch.equal(copy, param.bfloat16())


def gradients(step):
    """Of very different sizes, changing signs, one that is often zero."""
    generator = torch.Generator().manual_seed(step)
    return [
        torch.randn(5, 9, generator=generator),
        torch.randn(17, generator=generator) * 1e-4,
        torch.randn(40, generator=generator) * (step % 3 == 0),
    ]


def test_reference_is_torch_s():
    params = [torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    leaves = [param.clone().requires_grad_() for param in params]
    torch_s = torch.optim.AdamW(leaves, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    state = [(param, torch.zeros_like(param), torch.zeros_like(param)) for param in params]
    for step in range(1, 20):
        for index, leaf in enumerate(leaves):
            leaf.grad = torch.randn_like(leaf)
            param, first, second = state[index]
            state[index] = reference_adamw(param, leaf.grad, first, second, **{**STEP, "step": step})
        torch_s.step()
    for leaf, (param, _, _) in zip(leaves, state, strict=True):
        torch.testing.assert_close(param, leaf.detach(), rtol=1e-12, atol=1e-14)


def test_float64_hundreds_of_steps_of_torch_s_adamw():
    steps, decays = 400, (0.1, 0.0)
    torch.manual_seed(1)
    start = [torch.randn(grad.shape) for grad in gradients(0)]
    exact = [param.double().requires_grad_() for param in start]
    groups = [{"params": exact[:2], "weight_decay": decays[0]}, {"params": exact[2:], "weight_decay": decays[1]}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    params = [param.clone() for param in start]
    moments, seconds = ([torch.zeros_like(param) for param in params] for _ in range(2))
    for step in range(1, steps + 1):
        lr = 1e-2 * min(1.0, step / 50)
        grads = gradients(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        for leaf, grad in zip(exact, grads, strict=True):
            leaf.grad = grad.double()
        optimizer.step()
        for part, decay in ((slice(0, 2), decays[0]), (slice(2, 3), decays[1])):
            multi_tensor_adamw(
                params[part], grads[part], moments[part], seconds[part],
                **{**STEP, "lr": lr, "weight_decay": decay, "step": step},
            )  # fmt: skip
    for param, leaf, begin in zip(params, exact, start, strict=True):
        # A step moves a weight by up to lr and rounds it by 6e-8 of its size: 400 such roundings add up as a random
        # walk to about 20 of them.
        torch.testing.assert_close(param.double(), leaf.detach(), rtol=0, atol=20 * 6e-8 * begin.abs().max().item())
        assert (param - begin).abs().max() > 0.1, "the weights must move, or equal ones prove nothing"


def test_bfloat16_states_follow_float32_ones():
    """A quadratic bowl: with rounded moments the weights take nearly the same way down."""
    torch.manual_seed(2)
    target = torch.randn(200)
    found = {}
    for dtype in (F32, BF16):
        param, first, second = torch.zeros(200), torch.zeros(200, dtype=dtype), torch.zeros(200, dtype=dtype)
        for step in range(1, 501):
            multi_tensor_adamw(
                [param], [(param - target).to(dtype)], [first], [second], **{**STEP, "weight_decay": 0.0, "step": step}
            )
        found[dtype] = param
    assert (found[F32] - target).abs().max() < 0.05
    # The moments have 8 bits, 2^-8 relative each: a step is off by up to 1 %, and so is the way of 1 or so.
    assert (found[BF16] - found[F32]).abs().max() < 0.01


@DTYPES
def test_l2_norm_float64(dtype):
    torch.manual_seed(0)
    tensors = [*randoms(dtype), torch.randn(6, 5, dtype=dtype).t(), torch.full((100_000,), 3e-3, dtype=dtype)]
    norm, norms = multi_tensor_l2_norm(tensors, per_tensor=True)
    expected = torch.stack([torch.linalg.vector_norm(tensor.double()) for tensor in tensors])
    # Runs of 1024 squares are summed in float32: half of a few roundings of 6e-8.
    torch.testing.assert_close(norms.double(), expected, rtol=5e-7, atol=0)
    torch.testing.assert_close(norm.double(), torch.linalg.vector_norm(expected)[None], rtol=5e-7, atol=0)
    alone, nothing = multi_tensor_l2_norm(tensors)
    assert torch.equal(alone, norm)
    assert nothing.shape == (0,)


def test_l2_norm_of_nothing_and_of_bad_values():
    assert multi_tensor_l2_norm([])[0].tolist() == [0.0]
    assert multi_tensor_l2_norm([torch.empty(0), torch.empty(0)], per_tensor=True)[1].tolist() == [0.0, 0.0]
    for value in (float("nan"), float("inf"), -float("inf")):
        tensors = [torch.ones(5), torch.ones(50_000)]
        tensors[1][-1] = value
        norm, norms = multi_tensor_l2_norm(tensors, per_tensor=True)
        assert not norm.isfinite().item()
        assert norms.isfinite().tolist() == [True, False]


@DTYPES
@pytest.mark.parametrize("target", [F32, BF16], ids=["to-float", "to-bfloat16"])
def test_scale_float64(dtype, target):
    torch.manual_seed(0)
    sources = [*randoms(dtype), torch.randn(6, 5, dtype=dtype).t()]
    targets, found_inf = [torch.full(source.shape, 7.0, dtype=target) for source in sources], torch.zeros(1).int()
    multi_tensor_scale(sources, targets, 0.3, found_inf)
    for source, found in zip(sources, targets, strict=True):
        assert_near(found, source.double() * 0.3, "targets")
    assert found_inf.item() == 0


def test_scale_in_place():
    tensors = randoms(F32)
    expected = [tensor * 0.5 for tensor in tensors]
    multi_tensor_scale(tensors, tensors, 0.5, torch.zeros(1).int())
    assert all(torch.equal(*pair) for pair in zip(tensors, expected, strict=True))


@pytest.mark.parametrize(
    ("value", "scale", "target", "flag"),
    [
        (float("nan"), 1.0, F32, 1),
        (-float("inf"), 1e-9, F32, 1),
        (1e30, 1e10, F32, 1),
        (3.4e38, 1.0, BF16, 1),  # rounds up to infinity
        (3.3e38, 1.0, BF16, 0),
        (1e30, 1.0, F32, 0),
    ],
)
def test_scale_finds_what_is_not_finite(value, scale, target, flag):
    source = torch.ones(70_001)
    source[-1] = value
    found_inf = torch.zeros(1).int()
    multi_tensor_scale([torch.ones(3), source], [torch.ones(3).to(target), source.to(target)], scale, found_inf)
    assert found_inf.item() == flag


def test_scale_leaves_a_set_flag_alone():
    found_inf = torch.ones(1).int()
    multi_tensor_scale([torch.ones(3)], [torch.ones(3)], 1.0, found_inf)
    multi_tensor_scale([], [], 1.0, found_inf)
    assert found_inf.item() == 1


def run_everything():
    torch.manual_seed(0)
    params, grads, moments, seconds, copies = randoms(F32), randoms(BF16), randoms(BF16), randoms(BF16), randoms(BF16)
    seconds = [tensor.abs() for tensor in seconds]
    multi_tensor_adamw(params, grads, moments, seconds, copies=copies, **STEP)
    return [*params, *moments, *seconds, *copies, *multi_tensor_l2_norm(params, per_tensor=True)]


def test_results_do_not_depend_on_the_number_of_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = run_everything()
        for count in (2, 3):
            torch.set_num_threads(count)
            assert all(torch.equal(*pair) for pair in zip(alone, run_everything(), strict=True))
    finally:
        torch.set_num_threads(threads)


def test_a_saved_value_that_was_overwritten_is_an_error_in_the_backward_pass():
    weight = torch.ones(3, requires_grad=True)
    loss = (weight * weight).sum()
    with torch.no_grad():
        multi_tensor_adamw([weight], [torch.ones(3)], [torch.zeros(3)], [torch.zeros(3)], **STEP)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def ones(*shapes, dtype=F32):
    return [torch.ones(shape, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grads": ones(4)}, r"grads has 1 tensors, params 2; give one for each"),
        ({"grads": ones(4, 6)}, r"grads\[1\] has shape \[6\], params\[1\] \[5\]"),
        ({"params": ones(4, 5, dtype=BF16)}, "params are torch.bfloat16; they must be torch.float32"),
        ({"grads": [torch.ones(4), torch.ones(5).half()]}, r"grads\[1\] is torch.float16; the kernels take"),
        (
            {"exp_avgs": [torch.ones(4), torch.ones(5).bfloat16()]},
            r"exp_avgs\[1\] is torch.bfloat16 on cpu, exp_avgs\[0\]",
        ),
        ({"exp_avg_sqs": [torch.ones(4), torch.ones(10)[::2]]}, r"exp_avg_sqs\[1\] of shape \[5\] has strides \[2\]"),
        ({"copies": ones(4, 5)}, "copies are torch.float32; they must be torch.bfloat16"),
        ({"grads": [torch.ones(4), torch.ones(5, device="meta")]}, r"grads\[1\] is torch.float32 on meta"),
        ({"step": 0}, "step=0 must be 1 or more"),
        ({"betas": (0.9, 1.0)}, r"betas=\(0.9, 1.0\) each in \[0, 1\)"),
    ],
)
def test_bad_input_is_named(change, message):
    lists = {name: ones(4, 5) for name in ("params", "grads", "exp_avgs", "exp_avg_sqs")}
    with pytest.raises(UserError, match=message):
        multi_tensor_adamw(**{**lists, **STEP, **change})


@pytest.mark.parametrize(
    ("targets", "found_inf", "message"),
    [
        (ones(5), torch.zeros(1).int(), r"targets\[0\] has shape \[5\], sources\[0\] \[4\]"),
        (ones(4), torch.zeros(1), r"found_inf is torch.float32 \[1\]; it must be one torch.int32"),
        (ones(4), torch.zeros(2).int(), r"found_inf is torch.int32 \[2\]"),
        (ones(4), torch.zeros(1, device="meta").int(), "found_inf is on meta, the tensors on cpu"),
    ],
)
def test_bad_scaling_is_named(targets, found_inf, message):
    with pytest.raises(UserError, match=message):
        multi_tensor_scale(ones(4), targets, 1.0, found_inf)


def test_a_wrong_call_past_the_checks_is_an_exception():
    raw = torch.ops.aixmeg
    settings = (0.01, 0.9, 0.95, 1e-8, 0.1, 1, True, True)
    one, two = torch.ones(4), torch.ones(5)
    with pytest.raises(RuntimeError, match="grads has the wrong shape"):
        raw.multi_tensor_adamw([one], [two], [one], [one], [], *settings)
    with pytest.raises(RuntimeError, match="params has the wrong dtype"):
        raw.multi_tensor_adamw([one.bfloat16()], [one], [one], [one], [], *settings)
    with pytest.raises(RuntimeError, match="step 0 is below 1"):
        raw.multi_tensor_adamw([one], [one], [one], [one], [], *settings[:5], 0, True, True)
    with pytest.raises(RuntimeError, match="targets has 2 tensors, the first list 1"):
        raw.multi_tensor_scale([one], [one, one], torch.zeros(1).int(), 1.0)


def test_opcheck_and_compile():
    raw, settings = torch.ops.aixmeg, (0.01, 0.9, 0.95, 1e-8, 0.1, 1, True, True)
    shapes = [(3, 5), (7,)]
    lists = [randoms(dtype, torch.rand, shapes) for dtype in (F32, BF16, F32, BF16, BF16)]
    torch.library.opcheck(raw.multi_tensor_adamw.default, (*lists, *settings))
    torch.library.opcheck(raw.multi_tensor_l2_norm.default, (lists[0], True))
    torch.library.opcheck(raw.multi_tensor_scale.default, (lists[1], lists[0], torch.zeros(1).int(), 0.5))

    def step(params, grads, moments, seconds):
        norm, _ = multi_tensor_l2_norm(grads)
        multi_tensor_adamw(params, grads, moments, seconds, **STEP)
        return norm

    results = []
    for function in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(3)
        state = [randoms(F32, torch.rand, shapes) for _ in range(4)]
        results.append([function(*state), *state[0], *state[2]])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
