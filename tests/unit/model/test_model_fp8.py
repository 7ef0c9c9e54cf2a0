"""The FP8 linears against float64, against plain torch's numbers, and against torchao."""

import dataclasses

import pytest
import torch
from fp8_reference import reference_linear, reference_scale
from megatron.core import tensor_parallel

from aixmeg.config import Config, ModelConfig, TokenizerConfig, TrainConfig, conflicts
from aixmeg.errors import UserError
from aixmeg.model import fp8_scaling, spec
from aixmeg.model.builder import build_model, transformer_config
from aixmeg.model.fp8 import Fp8ColumnParallelLinear, Fp8RowParallelLinear
from aixmeg.model.fp8_scaling import DelayedScaling, Fp8Options, Operand, update_scales, with_scale_update
from aixmeg.ops import reference_swiglu
from aixmeg.ops.fp8 import E4M3, E5M2, ROUNDING

RECIPES = pytest.mark.parametrize("recipe", ["delayed", "tensorwise", "rowwise"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
S, B, K, N = 12, 2, 48, 32
SMALL = ModelConfig(num_layers=4, hidden_size=32, ffn_hidden_size=48, num_attention_heads=4, num_query_groups=2,
                    seq_length=16, vocab_size=64, kv_channels=8)  # fmt: skip


def settings(precision: str = "fp32", **changes) -> Config:
    model = dataclasses.replace(SMALL, **changes)
    return Config(model=model, tokenizer=TokenizerConfig(vocab_size=64), train=TrainConfig(precision=precision, seed=3))


def linear(kind=Fp8ColumnParallelLinear, *, dtype=torch.float32, recipe="tensorwise", inputs=K, **options):
    core = transformer_config(settings("bf16" if dtype == torch.bfloat16 else "fp32"))
    shape = {"gather_output": False} if kind is Fp8ColumnParallelLinear else {"input_is_parallel": True}
    gated = {"gated": options.pop("gated")} if "gated" in options else {}
    made = kind(inputs, N, config=core, init_method=lambda w: w, bias=False, skip_bias_add=False,
                fp8=Fp8Options(recipe=recipe, **options), **shape, **gated)  # fmt: skip
    with torch.no_grad():
        made.weight.copy_(torch.randn(N, inputs) * torch.exp2(torch.randn(N, 1) * 2))
    return made


def tensors(dtype, width=K):
    """x [s, b, k] whose tokens differ in size, dy [s, b, n] small as gradients are."""
    x = (torch.randn(S, B, width) * torch.exp2(torch.randn(S, B, 1) * 2)).to(dtype).requires_grad_()
    return x, (torch.randn(S, B, N) * 1e-3 * torch.exp2(torch.randn(S, B, 1))).to(dtype)


def run(layer, x, dy):
    x.grad, layer.weight.grad = None, None
    y, _ = layer(x)
    y.backward(dy)
    return y.detach(), x.grad, layer.weight.grad


def distance(mine, exact):
    return ((mine.double() - exact).norm() / exact.norm()).item()


@RECIPES
@DTYPES
@pytest.mark.parametrize("kind", [Fp8ColumnParallelLinear, Fp8RowParallelLinear])
def test_error_against_float64_is_the_formats(topology, recipe, dtype, kind):
    """Every product of two numbers is off by at most (1 + r1)(1 + r2) - 1, r the rounding of their formats; the numbers
    that fall below the smallest normal one are off by less than 2^-10 (e4m3) or 2^-17 (e5m2) of the largest."""
    torch.manual_seed(0)
    layer, (x, dy) = linear(kind, dtype=dtype, recipe=recipe), tensors(dtype)
    y, dx, dw = run(layer, x, dy)
    a, w, g = (t.detach().double() for t in (x.reshape(-1, K), layer.weight, dy.reshape(-1, N)))
    r, r_grad = ROUNDING[E4M3], ROUNDING[E5M2]
    forward, backward = (1 + r) ** 2 - 1, (1 + r) * (1 + r_grad) - 1
    output = 2.0**-8 if dtype == torch.bfloat16 else 1e-6
    for mine, left, right, bound in (
        (y.view(-1, N), a, w.t(), forward),
        (dx.view(-1, K), g, w, backward),
        (dw, g.t(), a, backward),
    ):
        exact, size = left @ right, left.abs() @ right.abs()
        lost = (
            left.abs().max() * 2.0**-9 * right.abs().sum(0) + right.abs().max() * 2.0**-9 * left.abs().sum(1)[:, None]
        )
        assert ((mine.double() - exact).abs() <= bound * size + lost + output * exact.abs()).all()
        assert distance(mine, exact) < bound / 2  # roundings go both ways; measured: 0.05 of 0.129, 0.06 of 0.195
        assert distance(mine, exact) > 0.005, "nothing was quantised"


@RECIPES
@DTYPES
@pytest.mark.parametrize("hybrid", [True, False])
def test_numbers_are_plain_torch_s(topology, recipe, dtype, hybrid):
    torch.manual_seed(1)
    layer, (x, dy) = linear(dtype=dtype, recipe=recipe, hybrid=hybrid), tensors(dtype)
    found = run(layer, x, dy)
    expected = reference_linear(x.detach().view(-1, K), layer.weight.detach(), dy.view(-1, N), recipe, hybrid)
    # fp32 sums in another order, and one rounding to the output's dtype.
    tolerance = 2.0**-7 if dtype == torch.bfloat16 else 1e-5
    for mine, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(
            mine.view(exact.shape).double(), exact, rtol=tolerance, atol=1e-6 * exact.abs().max()
        )


@pytest.mark.parametrize("recipe", ["tensorwise", "rowwise"])
def test_torchao_computes_the_same(topology, recipe):
    torchao = pytest.importorskip("torchao.float8", reason="torchao is not installed")
    if recipe == "tensorwise":
        config = torchao.Float8LinearConfig(round_scales_to_power_of_2=True)
    else:  # gradients in e4m3 there, scales of powers of two by itself
        config = torchao.Float8LinearConfig.from_recipe_name("rowwise")
    torch.manual_seed(2)
    layer, (x, dy) = linear(recipe=recipe, hybrid=recipe == "tensorwise"), tensors(torch.float32)
    other = torch.nn.Sequential(torch.nn.Linear(K, N, bias=False))
    with torch.no_grad():
        other[0].weight.copy_(layer.weight)
    other = torchao.convert_to_float8_training(other, config=config)
    found = run(layer, x, dy)
    theirs = x.detach().clone().requires_grad_()
    y = other(theirs.view(-1, K))
    y.backward(dy.view(-1, N))
    for mine, expected in zip(found, (y.detach(), theirs.grad, other[0].weight.grad), strict=True):
        # Its products with scales per row are bf16 in every dtype.
        rtol = 1e-5 if recipe == "tensorwise" else 2.0**-7
        torch.testing.assert_close(mine.view(expected.shape), expected, rtol=rtol, atol=1e-6 * expected.abs().max())


def test_rowwise_without_torch_s_kernel_gives_the_same(topology, monkeypatch):
    """torch 2.11's CPU build has no product with scales per row."""
    torch.manual_seed(3)
    layer, (x, dy) = linear(recipe="rowwise"), tensors(torch.float32)
    found = run(layer, x, dy)
    monkeypatch.setattr(fp8_scaling, "_has_rowwise", lambda device: False)
    for mine, emulated in zip(found, run(layer, x, dy), strict=True):
        torch.testing.assert_close(mine, emulated, rtol=1e-5, atol=1e-6 * mine.abs().max())


def test_delayed_scales_come_from_the_steps_before(topology):
    torch.manual_seed(4)
    layer = linear(recipe="delayed", amax_history_len=2, margin=1)
    state, sizes = layer.fp8_scaling, []
    assert not state.ready
    for step, size in enumerate((1.0, 8.0, 2.0, 2.0)):
        x, dy = tensors(torch.float32)
        with torch.no_grad():
            x *= size
        run(layer, x, dy)
        run(layer, (x.detach() * 0.5).requires_grad_(), dy)  # a second micro-batch does not lower the maximum
        sizes.append(torch.stack([x.detach().abs().max(), layer.weight.detach().abs().max(), dy.abs().max()]))
        assert torch.equal(state.amax, sizes[-1])
        update_scales([layer])
        assert state.amax.tolist() == [0, 0, 0]
        most = torch.stack(sizes[-2:]).amax(0)
        for operand, fp8 in zip(Operand, (E4M3, E4M3, E5M2), strict=True):
            assert state.scale[operand] == reference_scale(most[operand], fp8, margin=1)
        assert state.ready
        assert int(state.updates) == step + 1
    before = state.amax.clone()
    with torch.no_grad():
        layer(x * 100)
    assert torch.equal(state.amax, before), "evaluation must leave the training's state alone"


def test_swiglu_fused_into_the_linear(topology):
    """Delayed scaling knows the scale beforehand: gate | up goes in. The same as swiglu, then the linear."""
    torch.manual_seed(5)
    layer = linear(Fp8RowParallelLinear, recipe="delayed", gated=True)
    plain = linear(Fp8RowParallelLinear, recipe="delayed")
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
    for _ in range(2):  # current scales, then those of the history
        x, dy = tensors(torch.float32, width=2 * K)
        y, dx, dw = run(layer, x, dy)
        activated = x.detach().clone().requires_grad_()
        y2, dx2, dw2 = (
            *run(plain, (middle := torch.ops.aixmeg.swiglu_forward(activated.detach()).requires_grad_()), dy),
        )
        torch.testing.assert_close(y, y2, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(dw, dw2, rtol=1e-6, atol=1e-6)
        reference = reference_swiglu(activated.double())
        reference.backward(middle.grad.double())
        torch.testing.assert_close(dx, activated.grad, rtol=1e-5, atol=1e-5)
        assert torch.equal(layer.fp8_scaling.amax, plain.fp8_scaling.amax)
        update_scales([layer, plain])
    assert dx2.shape == (S, B, K)


@RECIPES
def test_weight_gradient_is_added_to_main_grad(topology, recipe):
    torch.manual_seed(6)
    layer, (x, dy) = linear(recipe=recipe, dtype=torch.bfloat16), tensors(torch.bfloat16)
    _, _, expected = run(layer, x, dy)
    layer.gradient_accumulation_fusion = True  # megatron-core's constructor asks apex for it
    layer.weight.main_grad = torch.full((N, K), 2.0)
    layer.weight.grad_added_to_main_grad = False
    _, _, dummy = run(layer, x, dy)
    run(layer, x, dy)
    assert layer.weight.grad_added_to_main_grad
    assert dummy.shape == layer.weight.shape
    torch.testing.assert_close((layer.weight.main_grad - 2) / 2, expected.float(), rtol=2.0**-7, atol=1e-6)
    del layer.weight.grad_added_to_main_grad
    assert run(layer, x, dy)[2] is None


@RECIPES
def test_recomputed_activations_are_the_same(topology, recipe):
    torch.manual_seed(7)
    layer, (x, dy) = linear(recipe=recipe), tensors(torch.float32)
    for _ in range(2):
        straight = run(layer, x, dy)
        amax = layer.fp8_scaling.amax.clone() if layer.fp8_scaling else None
        x.grad, layer.weight.grad = None, None
        y = tensor_parallel.checkpoint(lambda t: layer(t)[0], False, x)
        y.backward(dy)
        for mine, other in zip(straight, (y.detach(), x.grad, layer.weight.grad), strict=True):
            assert torch.equal(mine, other)
        if amax is not None:
            assert torch.equal(layer.fp8_scaling.amax, amax)
        update_scales([layer])


def test_frozen_parts_get_no_gradient(topology):
    layer, (x, dy) = linear(recipe="rowwise"), tensors(torch.float32)
    layer.weight.requires_grad_(False)
    y, _ = layer(x)
    y.backward(dy)
    assert layer.weight.grad is None
    assert x.grad is not None
    layer.weight.requires_grad_(True)
    layer(x.detach())[0].backward(dy)
    assert layer.weight.grad is not None


def test_an_overflow_reaches_the_output(topology):
    layer, (x, dy) = linear(), tensors(torch.float32)
    with torch.no_grad():
        x[0, 0, 0] = torch.inf
    assert run(layer, x, dy)[0].isnan().all()


def test_a_bias_is_refused(topology):
    core = transformer_config(settings())
    with pytest.raises(ValueError, match="no bias"):
        Fp8ColumnParallelLinear(K, N, config=core, init_method=lambda w: w, bias=True,
                                fp8=Fp8Options(recipe="tensorwise"))  # fmt: skip


def test_an_old_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "A100")
    with pytest.raises(UserError, match=r"A100 has compute capability 8.0; FP8 needs 8.9"):
        fp8_scaling.require_fp8_gpu(torch.device("cuda", 0))


@RECIPES
def test_layers_of_the_model(topology, recipe):
    kept = {"first_last_layers_bf16": True, "num_layers_at_start_in_bf16": 2}
    (model,) = build_model(settings(fp8="hybrid", fp8_recipe=recipe, **kept), topology, device="cpu")
    kinds = [
        {name.rsplit(".", 1)[-1]: isinstance(module, (Fp8ColumnParallelLinear, Fp8RowParallelLinear))
         for name, module in layer.named_modules() if "linear_" in name.rsplit(".", 1)[-1]}
        for layer in model.decoder.layers
    ]  # fmt: skip
    names = ("linear_qkv", "linear_proj", "linear_fc1", "linear_fc2")
    assert kinds == [dict.fromkeys(names, quantised) for quantised in (False, False, True, False)] or [
        set(kind.values()) for kind in kinds
    ] == [{False}, {False}, {True}, {False}]
    assert not isinstance(model.output_layer, Fp8ColumnParallelLinear)
    states = [module for module in model.modules() if isinstance(module, DelayedScaling)]
    assert len(states) == (4 if recipe == "delayed" else 0)
    tokens = torch.arange(16)[None]
    loss = model(tokens, labels=tokens).mean()
    loss.backward()
    assert loss.isfinite()
    calls = []
    finalize = with_scale_update(lambda models, *rest, **options: calls.append((rest, options)), None)
    finalize([model], None, pg_collection=1)
    assert calls == [((None,), {"pg_collection": 1})]
    assert all(state.ready for state in states)
    meta = build_model(settings(fp8="hybrid", fp8_recipe=recipe), topology, device="meta")
    assert {parameter.device.type for parameter in meta[0].parameters()} == {"meta"}


def test_options_reach_the_linears():
    config = dataclasses.replace(SMALL, fp8="e4m3", fp8_recipe="delayed", fp8_margin=2, fp8_amax_history_len=7)
    assert spec.fp8_options(config) == Fp8Options(recipe="delayed", hybrid=False, margin=2, amax_history_len=7)
    assert spec.fp8_options(SMALL) is None
    assert spec.fp8_options(dataclasses.replace(config, layer_set="te")) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fp8_recipe": "mxfp8"},
            "mxfp8 is not a recipe of model.layer_set=native; choose delayed, tensorwise, rowwise",
        ),
        ({"fp8_recipe": "rowwise", "layer_set": "te"}, "choose delayed, tensorwise, blockwise, mxfp8"),
        ({"layer_set": "te"}, "needs train.precision=bf16, not fp32"),
        ({"fp8_margin": -1}, "model.fp8_margin=-1 must be zero or more"),
        ({"fp8_amax_history_len": 0}, "model.fp8_amax_history_len=0 must be positive"),
        ({"first_last_layers_bf16": True, "num_layers_at_start_in_bf16": 3}, "leave none of model.num_layers=4 in FP8"),
        ({"first_last_layers_bf16": True, "num_layers_at_end_in_bf16": -1}, "must be zero or more"),
        ({"first_last_layers_bf16": True, "layer_set": "te", "fp8_recipe": "delayed"}, "does not go with"),
        ({"ffn_hidden_size": 40}, "model.ffn_hidden_size per tensor rank = 40 is not divisible by 16"),
    ],
)
def test_bad_settings_are_named(changes, message):
    (problem,) = [text for text in conflicts(settings(fp8="hybrid", **changes)) if message in text]
    assert "; " in problem or "must be" in problem or "needs" in problem


def test_good_settings_are_not():
    for recipe in ("delayed", "tensorwise", "rowwise"):
        assert not conflicts(settings(fp8="hybrid", fp8_recipe=recipe))
    for recipe in ("delayed", "tensorwise", "blockwise", "mxfp8"):
        assert not conflicts(settings("bf16", fp8="hybrid", fp8_recipe=recipe, layer_set="te"))
