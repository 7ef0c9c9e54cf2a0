"""Norms of the weights by group, the same in every layout."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from aixmeg.model.names import EMBEDDING, OUTPUT, ParameterInfo, Sharding, named_parameters, parameter_table
from aixmeg.train.build import Training, whole_parameters
from aixmeg.train.clock import peak_memory
from aixmeg.train.metrics import GROUPS


def state_of_ranks(training: Training, *, norms: bool) -> dict[str, float]:
    """{"memory_peak": bytes of the rank that holds most, "norm_embedding": …}; collective.

    Weights are read as the forward pass does, in bf16 where that computes in bf16. A tied output layer has no norm of
    its own.
    """
    memory = torch.tensor(float(peak_memory(training.device)), dtype=torch.float64, device=training.device)
    dist.all_reduce(memory, dist.ReduceOp.MAX)
    found: dict[str, float] = {"memory_peak": int(memory.item())}
    if norms:
        squares = _squares(training)
        dist.all_reduce(squares)
        found |= {f"norm_{name}": value for name, value in zip(GROUPS, squares.sqrt().tolist(), strict=True) if value}
    return found


def group_of(name: str) -> str:
    """The group of a parameter, by its global name."""
    if name in (EMBEDDING, OUTPUT):
        return "embedding" if name == EMBEDDING else "output"
    if "layernorm" in name:
        return "norms"
    return "attention" if ".self_attention." in name else "mlp"


def _squares(training: Training) -> Tensor:
    """Sums of squares of the weights that this rank answers for, float64 [groups]."""
    squares = torch.zeros(len(GROUPS), dtype=torch.float64, device=training.device)
    table = parameter_table(training.config.model)
    with whole_parameters(training), torch.no_grad():
        # Replicas hold the same weights: the first of them answers. Ranks of a context-parallel group are replicas too.
        if torch.distributed.get_rank(training.topology.groups.dp_cp) != 0:
            return squares
        for chunk in training.models:
            for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer):
                if _answers(info, chunk.pre_process, training):
                    norm = torch.linalg.vector_norm(parameter, dtype=torch.float32).double()
                    squares[GROUPS.index(group_of(info.name))] += norm * norm
    return squares


def _answers(info: ParameterInfo, first_chunk: bool, training: Training) -> bool:
    if info.sharding is Sharding.REPLICATED and training.topology.tp_rank != 0:
        return False
    # The last stage has a copy of a tied embedding.
    return info.name != EMBEDDING or first_chunk
