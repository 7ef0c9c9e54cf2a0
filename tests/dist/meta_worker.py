"""Builds any rank's part of the 7B model in one process: a process group that talks to nobody, weights on meta."""

import dataclasses

import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from aixmeg.config import Config
from aixmeg.model.builder import build_model
from aixmeg.model.names import named_parameters, parameter_table
from aixmeg.parallel.topology import Topology


def sizes(config: Config, world: int, ranks: list[int]) -> list[dict]:
    """Of each of these ranks: its place, parameters per chunk, whether every shape is the table's."""
    return [_rank(config, world, rank) for rank in ranks]


def all_sizes(cases: list[tuple[Config, int, list[int]]]) -> list[list[dict]]:
    """Of several configurations, in this process."""
    torch.distributed.destroy_process_group()  # the launcher's
    new_group = torch.distributed.new_group

    def without_backend(*args, backend=None, **kwargs):
        """megatron-core asks for gloo groups beside the others, which would look for the other ranks."""
        return new_group(*args, **kwargs)

    torch.distributed.new_group = without_backend
    return [sizes(*case) for case in cases]


def _rank(config: Config, world: int, rank: int) -> dict:
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)
    topology = Topology.create(config.parallel, config.train.seed)
    # The guards know gloo and nccl; what they guard against is not run here.
    topology = dataclasses.replace(topology, backend="nccl")
    chunks = build_model(config, topology, device="meta")
    table = parameter_table(config.model)
    fits = all(
        tuple(parameter.shape) == info.local_shape(topology.tp_size) and parameter.is_meta
        for chunk in chunks
        for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer)
    )
    names = [info.name for chunk in chunks for info, _ in named_parameters(chunk, table, first_layer=chunk.first_layer)]
    found = {
        "stage": topology.pp_rank,
        "tp_rank": topology.tp_rank,
        "dp_size": topology.dp_size,
        "counts": [sum(parameter.numel() for parameter in chunk.parameters()) for chunk in chunks],
        "shapes": fits,
        "names": names,
    }
    topology.destroy()
    torch.distributed.destroy_process_group()
    return found
