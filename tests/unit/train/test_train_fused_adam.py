"""FusedAdam against torch.optim.AdamW in float64, its states saved and loaded, and apex's names."""

import copy

import pytest
import torch

from aixmeg.errors import UserError
from aixmeg.train.fused_adam import FusedAdam, multi_tensor_applier, multi_tensor_l2norm, multi_tensor_scale

F32, BF16 = torch.float32, torch.bfloat16
OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8}
SHAPES = ((5, 7), (11,))


def leaves(dtype=F32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in SHAPES]


def groups(params):
    """A weight decay mask, as megatron-core makes it: matrices decay, vectors do not."""
    return [{"params": params[:1], "weight_decay": 0.1}, {"params": params[1:], "weight_decay": 0.0}]


def give_gradients(step, *lists):
    generator = torch.Generator().manual_seed(100 + step)
    for position, shape in enumerate(SHAPES):
        grad = torch.randn(shape, generator=generator)
        for params in lists:
            params[position].grad = grad.to(params[position].dtype)


def run(optimizer, params, first, last):
    for step in range(first, last + 1):
        give_gradients(step, params)
        optimizer.step()


@pytest.mark.parametrize("decoupled", [True, False])
def test_float64_hundreds_of_steps_with_a_decay_mask(decoupled):
    exact = [param.detach().double().requires_grad_() for param in leaves()]
    params = leaves()
    torch_s = (torch.optim.AdamW if decoupled else torch.optim.Adam)(groups(exact), **OPTIONS)
    ours = FusedAdam(groups(params), **OPTIONS, adam_w_mode=decoupled)
    for step in range(1, 301):
        give_gradients(step, exact, params)
        torch_s.step()
        ours.step()
    for param, leaf in zip(params, exact, strict=True):
        # 300 roundings of 6e-8 of a weight's size as a random walk, of weights up to about 4.
        torch.testing.assert_close(param.detach().double(), leaf.detach(), rtol=0, atol=17 * 6e-8 * 4)
    assert [group["step"] for group in ours.param_groups] == [300, 300]


def test_master_weights_move_where_bfloat16_would_stand_still():
    """Steps of 1e-5 are lost in a bfloat16 weight of 1; the copy is the rounded master after every step."""
    param = torch.ones(64, dtype=BF16, requires_grad=True)
    optimizer = FusedAdam([param], lr=1e-5, master_weights=True)
    for _ in range(400):
        param.grad = torch.ones(64, dtype=BF16)
        optimizer.step()
    master = optimizer.state[param]["master_param"]
    torch.testing.assert_close(master, torch.full((64,), 1 - 400e-5), rtol=1e-4, atol=0)
    assert torch.equal(param.detach(), master.bfloat16())
    assert param[0] < 1


def test_float32_parameters_are_their_own_masters():
    param = torch.ones(3, requires_grad=True)
    optimizer = FusedAdam([param], master_weights=True, exp_avg_dtype=BF16, exp_avg_sq_dtype=BF16)
    param.grad = torch.ones(3)
    optimizer.step()
    state = optimizer.state[param]
    assert state["master_param"].data_ptr() == param.data_ptr()
    assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == BF16
    assert param[0] < 1


def test_decoupled_gradients_of_another_dtype():
    params = [torch.ones(4, requires_grad=True, dtype=BF16), torch.ones(4, requires_grad=True, dtype=BF16)]
    optimizer = FusedAdam(params, lr=0.5, master_weights=True, use_decoupled_grad=True)
    params[0].decoupled_grad, params[1].decoupled_grad = torch.ones(4), torch.ones(4, dtype=BF16)
    params[0].grad = -torch.ones(4, dtype=BF16)  # must not be looked at
    optimizer.step()
    assert torch.equal(params[0], params[1])
    assert params[0][0] < 1
    optimizer.zero_grad()
    assert params[0].decoupled_grad is None
    assert params[0].grad is None


def test_parameters_without_a_gradient_stay():
    params = leaves()
    before = params[1].detach().clone()
    optimizer = FusedAdam(params, **OPTIONS)
    give_gradients(1, params)
    params[1].grad = None
    assert optimizer.step(lambda: 7.0) == 7.0
    assert torch.equal(params[1], before)
    assert params[1] not in optimizer.state


@pytest.mark.parametrize(
    "options",
    [{}, {"exp_avg_dtype": BF16, "exp_avg_sq_dtype": BF16}, {"master_weights": True, "exp_avg_dtype": BF16}],
    ids=["float", "bfloat16", "master"],
)
@pytest.mark.parametrize("dtype", [F32, BF16])
def test_saved_and_loaded_it_continues_bit_for_bit(options, dtype):
    if dtype == BF16:
        options = {**options, "master_weights": True}
    params = leaves(dtype)
    optimizer = FusedAdam(groups(params), **OPTIONS, **options)
    run(optimizer, params, 1, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    again = [param.detach().clone().requires_grad_() for param in params]
    run(optimizer, params, 6, 9)

    fresh = FusedAdam(groups(again), **OPTIONS, **options)
    fresh.load_state_dict(saved)
    for param in again:
        for name, value in fresh.state[param].items():
            assert value.dtype == fresh.state_dtypes[name]
    run(fresh, again, 6, 9)
    assert [group["step"] for group in fresh.param_groups] == [9, 9]
    for one, two in zip(params, again, strict=True):
        assert torch.equal(one, two)


def test_it_continues_from_torch_s_adamw():
    params, again = leaves(), leaves()
    torch_s = torch.optim.AdamW(groups(params), **OPTIONS)
    run(torch_s, params, 1, 5)
    ours = FusedAdam(groups(again), **OPTIONS)
    ours.load_state_dict(copy.deepcopy(torch_s.state_dict()))
    for one, two in zip(again, params, strict=True):
        one.data.copy_(two.data)
    run(torch_s, params, 6, 9)
    run(ours, again, 6, 9)
    assert [group["step"] for group in ours.param_groups] == [9, 9]
    for one, two in zip(params, again, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-6, atol=1e-6)  # eight roundings of weights around 1


def test_scaled_states_are_rounded_to_their_dtype():
    param = torch.ones(3, dtype=BF16, requires_grad=True)
    optimizer = FusedAdam([param], master_weights=True, exp_avg_dtype=BF16)
    optimizer.set_scaled_state(param, "exp_avg", torch.full((3,), 1.001))
    assert optimizer.get_unscaled_state(param, "exp_avg").tolist() == [1.0, 1.0, 1.0]
    optimizer.set_scaled_state(param, "master_param", torch.full((3,), 1.001))
    assert optimizer.get_unscaled_state(param, "master_param")[0].item() == pytest.approx(1.001)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amsgrad": True, "capturable": True}, "amsgrad, capturable is not offered"),
        ({"master_weight_dtype": BF16}, "master_weight_dtype=torch.bfloat16 must be torch.float32"),
    ],
)
def test_options_that_are_not_offered(options, message):
    with pytest.raises(UserError, match=message):
        FusedAdam(leaves(), **options)


def test_bad_parameters_are_named():
    params = leaves(BF16)
    give_gradients(1, params)
    with pytest.raises(UserError, match="set master_weights=True"):
        FusedAdam(params).step()
    params = leaves()
    params[0].grad = torch.zeros(SHAPES[0]).to_sparse()
    with pytest.raises(UserError, match="sparse"):
        FusedAdam(params).step()


def test_apex_s_names_take_mixed_dtypes():
    torch.manual_seed(0)
    tensors = [torch.randn(9), torch.randn(40_000).bfloat16(), torch.randn(3)]
    flag = torch.zeros(1, dtype=torch.int32)
    norm, norms = multi_tensor_applier(multi_tensor_l2norm, flag, [tensors], True)
    expected = torch.stack([torch.linalg.vector_norm(tensor.double()) for tensor in tensors])
    torch.testing.assert_close(norms.double(), expected, rtol=5e-7, atol=0)
    torch.testing.assert_close(norm.double(), torch.linalg.vector_norm(expected)[None], rtol=5e-7, atol=0)
    assert multi_tensor_l2norm(65536, flag, [tensors], False)[1].shape == (0,)

    targets = [torch.empty(9, dtype=BF16), torch.empty(40_000), torch.empty(3)]
    assert multi_tensor_applier(multi_tensor_scale, flag, [tensors, targets], torch.tensor(0.5)) is None
    for source, target in zip(tensors, targets, strict=True):
        assert torch.equal(target, (source.float() * 0.5).to(target.dtype))
    assert flag.item() == 0
    tensors[1][-1] = float("nan")
    multi_tensor_applier(multi_tensor_scale, flag, [tensors, targets], 1.0)
    assert flag.item() == 1
