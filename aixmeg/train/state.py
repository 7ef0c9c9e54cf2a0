"""What a checkpoint holds: weights, optimizer state and random-number state, each with how it is sharded.

Weights and optimizer state can be loaded in another layout. Random-number state cannot, and does not have to: the
order of the data and the initial weights are pure functions of the seed, and the model has no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.tensor_parallel import get_cuda_rng_tracker
from torch import Tensor

from aixmeg.parallel.topology import Topology
from aixmeg.train import folders
from aixmeg.train.host_memory import HostMemory
from aixmeg.train.shares import shared_out

ShardedState = dict[str, Any]

SHARDING: dict[str, Any] = dict(folders.SHARDING)
"""Of this process: megatron-core adds its process groups to the dictionary."""


def model_state(models: Sequence[torch.nn.Module]) -> ShardedState:
    """Sharded weights of this rank's model chunks (bare, not wrapped in DDP)."""
    return {f"model{i}": model.sharded_state_dict(metadata=SHARDING) for i, model in enumerate(models)}  # type: ignore[operator]


def load_models(models: Sequence[torch.nn.Module], state: ShardedState) -> None:
    """Copy loaded weights into the chunks' own tensors."""
    for i, model in enumerate(models):
        model.load_state_dict(state[f"model{i}"], strict=True)


def training_state(
    models: Sequence[torch.nn.Module],
    optimizer: Any,
    topology: Topology,
    *,
    loading: bool,
    with_random: bool,
    memory: HostMemory | None = None,
) -> ShardedState:
    """Everything that a resumed run needs, for saving it or as the request to load it; collective.

    Args:
        models: bare chunks of this rank.
        optimizer: theirs.
        topology: the ranks'.
        loading: make a request to load.
        with_random: include the generators.
        memory: where states are put together that lie on several ranks; all other tensors are the training's own.
    """
    weights = model_state(models)
    memory = memory or HostMemory()
    with shared_out(optimizer, weights, memory):
        states = optimizer.sharded_state_dict(weights, is_loading=loading, metadata=SHARDING)
    memory.finish()
    state = {**weights, "optimizer": states}
    if with_random:
        state["random"] = {name: _sharded(name, value, topology) for name, value in random_tensors().items()}
    return state


def load_training(models: Sequence[torch.nn.Module], optimizer: Any, state: ShardedState) -> None:
    """Continue from a loaded `training_state`."""
    load_models(models, state)
    optimizer.load_state_dict(state["optimizer"])
    if "random" in state:
        set_random(state["random"])


def random_tensors() -> dict[str, Tensor]:
    """State of torch's generators and of megatron-core's tracker, by name; uint8 [1, n] each."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    states |= {f"tracker.{name}": value for name, value in _tracker().get_states().items()}
    return {name: value.cpu().unsqueeze(0) for name, value in states.items()}


def set_random(loaded: dict[str, Tensor]) -> None:
    """Put the generators into the states that `random_tensors` gave."""
    states = {name: value.squeeze(0) for name, value in loaded.items()}
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
    _tracker().set_states({name: states[f"tracker.{name}"] for name in _tracker().get_states()})


def _tracker() -> Any:
    return get_cuda_rng_tracker()


def _sharded(name: str, value: Tensor, topology: Topology) -> ShardedTensor:
    """One row per model-parallel rank; context- and data-parallel replicas hold the same one."""
    row = topology.pp_rank * topology.tp_size + topology.tp_rank
    rows = topology.pp_size * topology.tp_size
    replica = topology.groups.dp_cp.rank()
    return ShardedTensor.from_rank_offsets(f"random.{name}", value, (0, row, rows), replica_id=replica)
