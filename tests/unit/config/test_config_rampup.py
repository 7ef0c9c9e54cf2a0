"""Batch sizes that grow: against megatron-core's calculator, and against the rule taken sample by sample."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import Config, PackingConfig, conflicts, dump_config, load_config
from aixmeg.config.rampup import samples_of_step, stages

VPP2 = {"pipeline_model_parallel_size": 2, "virtual_pipeline_model_parallel_size": 2, "overlap_p2p_comm": True}


@pytest.mark.parametrize(
    ("size", "rampup"), [(64, (16, 16, 3000)), (192, (32, 32, 5000)), (8, (2, 1, 36)), (24, (4, 4, 5))]
)
def test_sizes_are_megatron_cores(size, rampup):
    from megatron.core.num_microbatches_calculator import RampupBatchsizeNumMicroBatchesCalculator

    start, increment, samples = rampup
    theirs = RampupBatchsizeNumMicroBatchesCalculator(
        global_batch_size=size, micro_batch_size=1, data_parallel_size=1, decrease_batch_size_if_needed=False, rank=1,
        start_global_batch_size=start, batch_size_increment=increment, ramup_samples=samples,
    )  # fmt: skip
    consumed, found = 0, range(0)
    for step in range(300):
        theirs.update(consumed, consistency_check=True)
        found = samples_of_step(step, global_batch_size=size, rampup=rampup)
        assert (found.start, len(found)) == (consumed, theirs.get_current_global_batch_size())
        consumed += len(found)
    assert len(found) == size


@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 12), st.integers(1, 500))
def test_samples_follow_each_other_and_sizes_depend_on_the_samples_taken(start, increment, increments, samples):
    size, taken, step = start + increment * increments, 0, 0
    while taken <= samples + 2 * size:
        found = samples_of_step(step, global_batch_size=size, rampup=(start, increment, samples))
        grown = sum(taken * increments >= level * samples for level in range(1, increments + 1))
        assert found == range(taken, taken + start + increment * grown)
        taken, step = found.stop, step + 1
    assert len(stages(size, (start, increment, samples))) <= increments + 1


def test_without_a_ramp_all_steps_are_equal():
    assert samples_of_step(7, global_batch_size=4, rampup=None) == range(28, 32)


def problems(world_size=1, packing=None, parallel=None, **train):
    config = Config()
    return conflicts(
        dataclasses.replace(
            config,
            train=dataclasses.replace(config.train, **train),
            parallel=dataclasses.replace(config.parallel, **(parallel or {})),
            data=dataclasses.replace(config.data, packing=packing or PackingConfig()),
        ),
        world_size,
    )


def test_impossible_ramps_are_told_before_the_start():
    assert problems(4, global_batch_size=64, rampup_batch_size=(16, 16, 1000)) == []
    (text,) = problems(global_batch_size=64, rampup_batch_size=(16, 0, 1000))
    assert "rampup_batch_size=[16, 0, 1000]: first size, increment and samples must be positive" in text
    (text,) = problems(global_batch_size=64, rampup_batch_size=(128, 16, 1000))
    assert "begins above train.global_batch_size=64" in text
    (text,) = problems(global_batch_size=64, rampup_batch_size=(16, 20, 1000))
    assert "increments of 20 do not lead from 16 to train.global_batch_size=64; choose a divisor of 48" in text
    (text,) = problems(4, global_batch_size=64, rampup_batch_size=(16, 6, 1000), micro_batch_size=2)
    assert "has steps of 22 samples, which is no multiple of the 8 that all ranks take at once" in text
    (text,) = problems(2, parallel=VPP2, global_batch_size=64, rampup_batch_size=(1, 1, 1000))
    assert "has steps of 1 samples, which is no multiple of the 2 that" in text
    (text,) = problems(packing=PackingConfig(order="stream"), global_batch_size=64, rampup_batch_size=(16, 16, 1000))
    assert "needs data.packing.order=shuffle, which is stream" in text


def test_a_ramp_survives_the_file(tmp_path):
    config = load_config(None, {"train.global_batch_size": "64", "train.rampup_batch_size": "[16, 16, 1000]"})
    assert config.train.rampup_batch_size == (16, 16, 1000)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == config
