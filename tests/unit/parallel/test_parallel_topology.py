"""The topology of one rank; four ranks are in tests/dist."""

import dataclasses

import pytest
import torch
from megatron.core.tensor_parallel.random import get_cuda_rng_tracker

from aixmeg.config import ParallelConfig
from aixmeg.errors import UserError
from aixmeg.parallel import launch
from aixmeg.parallel.topology import Topology


@pytest.fixture(autouse=True)
def one_rank():
    launch.start(launch.discover({}))
    yield
    launch.stop()


def test_one_rank_is_first_and_last():
    topology = Topology.create(ParallelConfig(), seed=5)
    assert (topology.rank, topology.world_size) == (0, 1)
    assert (topology.tp_size, topology.pp_size, topology.dp_size) == (1, 1, 1)
    assert topology.is_first_stage
    assert topology.is_last_stage
    assert topology.is_first_chunk(None)
    assert topology.is_last_chunk(None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        topology.rank = 1  # type: ignore[misc]
    topology.destroy()


def test_seed_is_reproducible():
    draws = []
    for seed in (5, 5, 6):
        topology = Topology.create(ParallelConfig(), seed)
        with get_cuda_rng_tracker().fork():
            draws.append((torch.rand(2).tolist(), torch.rand(2).tolist()))
        topology.destroy()
    assert draws[0] == draws[1] != draws[2]


def test_ranks_that_hold_no_whole_model_are_refused():
    with pytest.raises(UserError, match="1 ranks cannot hold whole copies of the model: tensor 2 x pipeline 1 = 2"):
        Topology.create(ParallelConfig(tensor_model_parallel_size=2), seed=1)


def test_chunks_of_a_pipeline():
    topology = Topology.create(ParallelConfig(), seed=1)
    last = dataclasses.replace(topology, pp_rank=1, pp_size=2, vp_size=2)
    assert [last.is_last_chunk(stage) for stage in (0, 1)] == [False, True]
    assert [last.is_first_chunk(stage) for stage in (0, 1)] == [False, False]
    first = dataclasses.replace(topology, pp_rank=0, pp_size=2, vp_size=2)
    assert [first.is_first_chunk(stage) for stage in (0, 1)] == [True, False]
    topology.destroy()
