"""A small model trains on the GPU as on the CPU, and in FP8 near it."""

from dataclasses import replace

import pytest
import torch

from aixmeg.config import PRESETS, Config, TrainConfig
from aixmeg.parallel.topology import Topology
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.determinism import set_deterministic
from aixmeg.train.step import train_step

TINY = replace(PRESETS["tiny"], num_layers=2, seq_length=128, vocab_size=512)


@pytest.fixture
def world(device):
    store = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.fixture
def restored():
    """torch is as lax as it was once the test is over."""
    yield
    torch.use_deterministic_algorithms(False)


def losses(device, precision, steps=8, *, deterministic=False, **fp8):
    train = TrainConfig(steps=steps, global_batch_size=1, micro_batch_size=1, precision=precision,
                        deterministic_mode=deterministic)  # fmt: skip
    config = Config(model=replace(TINY, **fp8), train=train)
    set_deterministic(config, device)
    topology = Topology.create(config.parallel, config.train.seed)
    try:
        training = build_training(config, topology, device)
        ids = torch.randint(0, 512, (1, 129), generator=torch.Generator().manual_seed(1)).to(device)
        batch = Batch(tokens=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous())
        return [train_step(training, [batch], lr=3e-3).loss for _ in range(steps)]
    finally:
        topology.destroy()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_fall_and_repeat(world, device, restored, precision):
    first = losses(device, precision, deterministic=True)
    assert first[-1] < first[0] - 0.5
    assert losses(device, precision, deterministic=True) == first


@pytest.mark.parametrize("recipe", ["delayed", "tensorwise", "rowwise"])
def test_fp8_stays_near_bf16(world, device, recipe):
    plain, quantised = losses(device, "bf16"), losses(device, "bf16", fp8="hybrid", fp8_recipe=recipe)
    # With three bits of mantissa and a learning rate that memorises the sample, the curves part, but not far.
    fall = plain[0] - plain[-1]
    assert fall > 0.5
    assert max(abs(one - two) for one, two in zip(plain, quantised, strict=True)) < 0.2 * fall
