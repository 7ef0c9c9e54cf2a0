"""The same run in every layout: same samples, same losses, same gradients, through the real command."""

from pathlib import Path

import pytest
from train_ranks import TP2, changed, make_inputs, read_metrics, tiny_config, train_ranks

from aixmeg.config import ParallelConfig

STEPS = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    make_inputs(folder)
    return folder


def losses(root, name, ranks, parallel, **train):
    config = tiny_config(root, parallel, steps=STEPS, save_interval=0, **train)
    # Four layers: two chunks on each of two pipeline stages.
    config = changed(config, paths={"run": Path(name)}, model={"num_layers": 4})
    train_ranks(config, ranks, log=root / name)
    run = root / name
    held_out = read_metrics(run, "valid", ("ntp_loss", "middle_loss"))
    assert [step for step, *_ in held_out] == [4, 8, 12, 16, 20]
    return read_metrics(run), held_out


@pytest.fixture(scope="module")
def alone(root):
    return losses(root, "alone", 1, ParallelConfig(), micro_batch_size=4)


LAYOUTS = {
    "tp2-sp": TP2,
    "dp2": ParallelConfig(),
    "dp2-overlap": ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True),
    "dp2-plain-optimizer": ParallelConfig(use_distributed_optimizer=False),
    "cp2": ParallelConfig(context_parallel_size=2),
    "pp2": ParallelConfig(pipeline_model_parallel_size=2),
    "pp2-short-last-stage": ParallelConfig(pipeline_model_parallel_size=2, num_layers_in_last_pipeline_stage=1),
    "pp2-vpp2": ParallelConfig(
        pipeline_model_parallel_size=2, virtual_pipeline_model_parallel_size=2, overlap_p2p_comm=True
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_two_ranks_train_as_one(root, alone, name):
    found, held_out = losses(root, name, 2, LAYOUTS[name], micro_batch_size=1)
    assert [step for step, *_ in found] == list(range(1, STEPS + 1))
    for (_, loss, norm, rate), (_, expected_loss, expected_norm, expected_rate) in zip(found, alone[0], strict=True):
        assert loss == pytest.approx(expected_loss, rel=1e-5)  # fp32 sums in another order, over 20 updates
        assert norm == pytest.approx(expected_norm, rel=1e-4)  # a norm of differences in the same sums
        assert rate == expected_rate
    for ours, expected in zip(held_out, alone[1], strict=True):
        assert ours == pytest.approx(expected, rel=1e-5)


def test_it_learns(alone):
    first, last = alone[0][0], alone[0][-1]
    assert last[1] < 0.75 * first[1]
    assert alone[1][-1][1] < alone[1][0][1]
