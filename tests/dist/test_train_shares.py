"""Each data-parallel rank saves its share of weights and optimizer states, copied once, and nothing later gets into it."""

import dataclasses
import functools
import math
import time

import pytest
import torch
from launch import run_function
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from aixmeg.train import parity

LAYOUTS = {
    "DP3": (3, {"overlap_grad_reduce": True, "overlap_param_gather": True}),
    "one rank": (1, {"overlap_grad_reduce": True}),
    "DP2 x TP2+SP": (4, {"tensor_model_parallel_size": 2, "sequence_parallel": True, "overlap_grad_reduce": True}),
}


def live(training):
    """Every tensor that a step changes: weights, and the main weights and states of this rank's shard."""
    (part,) = training.optimizer.chained_optimizers
    weights = [parameter for model in training.models for parameter in model.parameters()]
    mains = [main for group in part.optimizer.param_groups for main in group["params"]]
    return weights + mains + [part.optimizer.state[main][key] for main in mains for key in ("exp_avg", "exp_avg_sq")]


def saved_and_loaded(run, options):
    """Save beside a step, load, and compare with what was live when `save` returned; bytes copied and bytes made."""
    from aixmeg.parallel.topology import Topology
    from aixmeg.train import build, host_memory, saver, torch_dist
    from aixmeg.train.batches import make_batch
    from aixmeg.train.checkpoint import restore
    from aixmeg.train.folders import read_manifest, step_folder
    from aixmeg.train.manifest import describe
    from aixmeg.train.step import train_step

    # Many buckets, whose ends are padded: with three ranks to multiples of 384.
    build.DistributedDataParallelConfig = functools.partial(build.DistributedDataParallelConfig, bucket_size=9_000)
    made, put, write = [], host_memory.HostMemory.put, torch_dist.write
    host_memory.HostMemory.put = lambda *a, **k: (made.append(put(*a, **k)), made[-1])[1]
    torch_dist.write = lambda *arguments: (time.sleep(0.5), write(*arguments))[1]  # later than the step below
    config = parity.alone().config()
    config = dataclasses.replace(
        config, parallel=dataclasses.replace(config.parallel, **options),
        train=dataclasses.replace(config.train, global_batch_size=6, precision="bf16"),
    )  # fmt: skip
    topology = Topology.create(config.parallel, 1)
    training = build.build_training(config, topology, torch.device("cpu"))
    buckets = len(training.wrapped[0].buffers[0].buckets)
    ids = torch.randint(0, 128, (6, 49), generator=torch.Generator().manual_seed(topology.dp_rank))
    batches = [make_batch([row.numpy()], training.device) for row in ids[: 6 // topology.dp_size]]
    for _ in range(2):
        train_step(training, batches, lr=1e-3)
    with saver.Saver(training, run, asynchronous=True) as beside:
        for step in (2, 3):  # the second save reuses the first one's memory
            beside.wait()
            beside._memory.copied = 0
            made.clear()
            beside.save(step, describe(config, step=step, data={}))
            with build.whole_parameters(training):
                before = [tensor.detach().clone() for tensor in live(training)]
            train_step(training, batches, lr=1e-2)
            with build.whole_parameters(training):
                after = [tensor.detach().clone() for tensor in live(training)]
        beside.wait(final=True)
    folder = step_folder(run, 3)
    restore(training, folder, read_manifest(folder))
    with build.whole_parameters(training):
        loaded = [tensor.detach() for tensor in live(training)]
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True)), "the step does nothing"
    same = [torch.equal(one, other) for one, other in zip(before, loaded, strict=True)]
    topology.destroy()
    return same, beside._memory.copied, sum(one.nbytes for one in made), buckets


def stored_bytes(folder):
    """Of all tensors, as torch alone reads them."""
    described = FileSystemReader(folder).read_metadata().state_dict_metadata.values()
    return sum(
        math.prod(one.size) * one.properties.dtype.itemsize for one in described if isinstance(one, TensorStorageMetadata)
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_loaded_is_what_was_there_and_was_copied_once(tmp_path, layout):
    ranks, options = LAYOUTS[layout]
    same, copied, made, buckets = zip(*run_function(saved_and_loaded, ranks, tmp_path, options), strict=True)
    assert min(buckets) > 5
    assert all(all(of_rank) for of_rank in same), [of_rank.count(False) for of_rank in same]
    # What a rank made for the checkpoint is not copied, all else is, and nothing by two ranks.
    assert sum(copied) + sum(made) == stored_bytes(tmp_path / "checkpoints/step-00000003")
    assert (sum(made) > 0) == (layout != "one rank")  # parameters that a shard's border cuts
    shares = [one + other for one, other in zip(copied, made, strict=True)]
    assert max(shares) < 2 * sum(shares) / ranks  # some parameters are larger than a rank's share of a bucket
