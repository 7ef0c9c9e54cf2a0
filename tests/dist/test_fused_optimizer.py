"""megatron-core's optimizers over our kernels: losses of torch's AdamW, checkpoints, accumulated weight gradients."""

import pytest
from launch import run_function
from optimizer_worker import losses, resume, resume_bf16_moments, weight_gradients

STEPS = 6  # as many as a resumed run takes
LAYOUTS = {
    "zero1": {},
    "zero1 overlap": {"overlap_grad_reduce": True, "overlap_param_gather": True},
    "dp2": {"use_distributed_optimizer": False},
    "zero1 bf16": {"precision": "bf16"},
}


@pytest.fixture(scope="module")
def trained():
    runs = [(backend, layout) for layout in LAYOUTS.values() for backend in ("torch", "aixmeg")]
    results = run_function(losses, 2, runs, STEPS)
    assert results[0] == results[1], "ranks disagree on the loss"
    pairs = zip(results[0][::2], results[0][1::2], strict=True)
    return dict(zip(LAYOUTS, pairs, strict=True))


def assert_equal_steps(found, expected, *, loss, norm):
    for step, ((mine, my_norm), (other, other_norm)) in enumerate(zip(found, expected, strict=True)):
        assert mine == pytest.approx(other, rel=loss), f"step {step}"
        assert my_norm == pytest.approx(other_norm, rel=norm), f"step {step}"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_are_those_of_torch_s_adamw(trained, layout):
    expected, found = trained[layout]
    # fp32: the same formula rounded elsewhere, 6e-8 per update, over a few steps. bf16: a master weight that differs in
    # its last bit may round to the next of 256 weights; the means here are over many.
    loss, norm = (1e-3, 2e-2) if "bf16" in layout else (2e-6, 1e-5)
    assert_equal_steps(found, expected, loss=loss, norm=norm)
    assert found[0][0] == expected[0][0], "before any update"
    assert expected[-1][0] < expected[0][0] - 0.03, "the model must learn, or equal losses prove nothing"


@pytest.mark.parametrize(
    "layout",
    [{}, {"use_distributed_optimizer": False, "precision": "bf16"}],
    ids=["zero1", "dp2 bf16"],
)
def test_a_saved_run_continues_bit_for_bit(tmp_path, layout):
    for result in run_function(resume, 2, str(tmp_path), "aixmeg", "aixmeg", layout):
        assert result["resumed"] == result["straight"]
        assert result["counters"] == {6.0}


@pytest.mark.parametrize(
    ("saved_by", "loaded_by", "zero1"),
    [("torch", "aixmeg", True), ("aixmeg", "torch", True), ("torch", "aixmeg", False), ("aixmeg", "torch", False)],
)
def test_a_run_continues_with_the_other_optimizer(tmp_path, saved_by, loaded_by, zero1):
    layout = {"use_distributed_optimizer": zero1}
    for result in run_function(resume, 2, str(tmp_path), saved_by, loaded_by, layout):
        assert_equal_steps(result["resumed"], result["straight"], loss=2e-6, norm=1e-5)  # as above
        assert result["counters"] == {6.0}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_accumulated_weight_gradients_give_the_same_losses(precision):
    layout = {"precision": precision, "tensor_model_parallel_size": 2, "sequence_parallel": True}
    (apart, fused), _ = run_function(weight_gradients, 2, layout, 4)
    # fp32: sums in another order. bf16: without the fusion every weight gradient is rounded to 8 bits first.
    loss, norm = (1e-3, 2e-2) if precision == "bf16" else (1e-6, 1e-6)
    assert_equal_steps(fused, apart, loss=loss, norm=norm)
    assert precision == "fp32" or fused != apart, "the fusion must have done something"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_moments_in_bf16(trained, tmp_path, precision):
    expected = trained["zero1" if precision == "fp32" else "zero1 bf16"][0]
    for result in run_function(resume_bf16_moments, 2, str(tmp_path), precision):
        assert result["kinds"] == {
            ("exp_avg", "torch.bfloat16"), ("exp_avg_sq", "torch.bfloat16"), ("master_param", "torch.float32")
        }  # fmt: skip
        assert result["resumed"] == result["straight"]
        assert result["counters"] == {6.0}
        # Moments of 8 bits: each update is off by up to 1 %, and six updates change the loss by 2 %.
        assert_equal_steps(result["straight"], expected[3:], loss=1e-3, norm=2e-2)
        assert result["straight"] != expected[3:]
