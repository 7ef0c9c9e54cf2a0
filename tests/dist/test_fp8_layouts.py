"""Native FP8 over tensor-parallel ranks, sequence-parallel or not, and from a checkpoint."""

import fp8_worker
import pytest
import torch
from launch import run_function

TP = {"tensor_model_parallel_size": 2}
SP = {**TP, "sequence_parallel": True}
STEPS = 6


def same(mine, other):
    return all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))


@pytest.fixture(scope="module")
def alone():
    return run_function(fp8_worker.linears, 1, {})[0]


@pytest.mark.parametrize("layout", [TP, SP], ids=["tp2", "tp2+sp"])
def test_linears_quantise_alike_in_every_layout(alone, layout):
    """Only the order of fp32 sums may differ: a scale that one rank chose by itself would show as 1e-2 and more."""
    for found in run_function(fp8_worker.linears, 2, layout):
        assert found.keys() == alone.keys()
        for name, results in found.items():
            for what, mine, whole in zip(("y", "dx", "dw"), results, alone[name], strict=True):
                assert mine.shape == whole.shape
                distance = (mine - whole).norm() / whole.norm()
                assert distance < 1e-6, (name, what, distance)


@pytest.fixture(scope="module")
def trained():
    runs = [(recipe, {}, STEPS) for recipe in (None, *fp8_worker.RECIPES)]
    (found,) = run_function(fp8_worker.train, 1, runs)
    return {recipe: result for (recipe, _, _), result in zip(runs, found, strict=True)}


@pytest.mark.parametrize("recipe", fp8_worker.RECIPES)
def test_training_over_ranks_is_training_on_one(trained, recipe):
    """fp32 sums in another order tip a few numbers to the neighbouring FP8 one, and delayed scaling's first step scales
    each micro-batch by itself: 2.4e-5 of the loss and 9e-4 of the norm were measured, 1e-3 of the loss lies between FP8
    and fp32."""
    layouts = [SP, {}]  # {}: two data-parallel ranks
    if recipe == "delayed":  # the one whose state lives in the layers
        layouts += [TP, {"pipeline_model_parallel_size": 2}]
    results = run_function(fp8_worker.train, 2, [(recipe, layout, STEPS) for layout in layouts])
    expected, state = trained[recipe]
    plain, _ = trained[None]
    for layout, *ranks in zip(layouts, *results, strict=True):
        for losses, _ in ranks:
            for step, ((loss, norm), (other, other_norm)) in enumerate(zip(losses, expected, strict=True)):
                assert loss == pytest.approx(other, rel=1e-4), (layout, step)
                assert norm == pytest.approx(other_norm, rel=5e-3), (layout, step)
        if layout in (SP, TP):  # elsewhere: other layers on each rank, or gradients of half as many micro-batches
            for mine, one in zip(ranks[0][1], state, strict=True):
                # Scales are powers of two: a magnitude next to one may go either way.
                torch.testing.assert_close(mine.double(), one.double(), rtol=1.0, atol=1e-6)
        if "pipeline_model_parallel_size" not in layout:
            assert same(ranks[0][1], ranks[1][1]), "ranks that hold the same layer must hold the same scales"
    assert max(abs(mine[0] - other[0]) for mine, other in zip(expected, plain, strict=True)) < 5e-3
    assert expected[-1] != plain[-1], "nothing was quantised"


@pytest.mark.parametrize(
    ("ranks", "layout", "kept"),
    [(1, {}, False), (2, SP, True)],
    ids=["alone", "tp2+sp, first and last layer in bf16"],
)
def test_resuming_goes_on_bit_for_bit(tmp_path, ranks, layout, kept):
    other = {"pipeline_model_parallel_size": 2} if ranks == 2 else {}
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for found in run_function(fp8_worker.resume, ranks, str(folder), layout, other, kept):
        losses, state = found["straight"]
        losses_again, state_again = found["resumed"]
        assert losses == losses_again
        assert same(state, state_again)
        assert same(found["saved"], found["loaded"])
        assert len(state) == (8 if kept else 16) * 4
        assert len(found["elsewhere"]) == len(state) // (2 if ranks == 2 else 1)
        assert any(same(found["elsewhere"], found["saved"][start : start + len(found["elsewhere"])])
                   for start in (0, len(state) // 2))  # fmt: skip
