"""Bytes of tensors that a rank holds at the peak of two training steps.

A dispatch mode sees every tensor that torch's and our operators return, in autograd's backward passes too, and a
finalizer the end of its storage. Their running sum is exact and the same in every run; resident memory would add the
interpreter, libraries and freed pages, and torch's profiler misses what gloo's threads release. Scratch memory within
an operator is not seen.
"""

import gc
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from aixmeg.config import Config
from aixmeg.parallel.topology import Topology
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.step import train_step

STEPS = 2
"""The first makes the optimizer's states; the second has its peak with them."""


class LiveBytes(TorchDispatchMode):
    """Counts the storages that were made while it is entered."""

    def __init__(self):
        super().__init__()
        self.sizes = {}
        self.live = self.highest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self.see, out)
        return out

    def see(self, tensor):
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.sizes:
            weakref.finalize(storage, self.gone, key)
            self.sizes[key] = 0
        self.live += size - self.sizes[key]  # megatron-core resizes storages
        self.sizes[key] = size
        self.highest = max(self.highest, self.live)

    def gone(self, key):
        self.live -= self.sizes.pop(key)


def peaks(configs: list[Config]) -> list[tuple[int, int, int]]:
    """For each configuration: pipeline stage, bytes at the peak, bytes that stay between steps."""
    return [_peak(config) for config in configs]


def _peak(config: Config) -> tuple[int, int, int]:
    topology = Topology.create(config.parallel, config.train.seed)
    with LiveBytes() as counted:
        training = build_training(config, topology, torch.device("cpu"))
        for _ in range(STEPS):
            batches = _batches(config, topology.dp_size)
            train_step(training, batches, lr=1e-3)
        del batches
        gc.collect()
    found = topology.pp_rank, counted.highest, counted.live
    topology.destroy()
    return found


def _batches(config: Config, dp: int) -> list[Batch]:
    train, model = config.train, config.model
    shape = (train.micro_batch_size, model.seq_length)
    count = train.global_batch_size // (train.micro_batch_size * dp)
    return [
        Batch(tokens=torch.randint(model.vocab_size, shape), labels=torch.randint(model.vocab_size, shape))
        for _ in range(count)
    ]
