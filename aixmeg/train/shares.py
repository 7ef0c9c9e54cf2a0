"""Which data-parallel rank saves which parameter, with the optimizer's states of it.

megatron-core's `fully_reshardable` form of a checkpoint gathers all states on every data-parallel rank, through five
copies, and lets the first of them write everything. Here a parameter belongs to one of the ranks whose shards hold it,
which saves it as it lies there: only parameters that a shard's border cuts travel, to their owner alone. Loading, a
rank reads the parameters of which its shard holds a part; megatron-core's reads all. The files' form is the same.

megatron-core 0.16.1 also reads the states at places that count the padding between buckets, from a buffer without it:
those of every bucket behind a padded one are saved shifted. Whether there is padding depends on the sizes (a bucket is
filled up to a multiple of the data-parallel size and of 128). Here the states go by parameter.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
import torch.distributed as dist
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensorFactory
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer
from torch import Tensor
from torch.distributed import ProcessGroup

from aixmeg.train.host_memory import HostMemory

STATES: Final = ("param", "exp_avg", "exp_avg_sq")
"""Of every parameter: in float32 the weight itself, mean and mean square of its gradient."""
States = Mapping[str, Tensor]
Owners = Mapping[Tensor, int]
"""Data-parallel rank of each parameter."""


@contextlib.contextmanager
def shared_out(optimizer: Any, weights: Any, memory: HostMemory) -> Iterator[None]:
    """Inside, `optimizer.sharded_state_dict(weights)` has each rank save, or load, its share; collective.

    Args:
        optimizer: distributed parts share; others leave everything to the first rank.
        weights: sharded, of this rank's model chunks; their replica ids are changed, so that they are shared likewise.
        memory: where parameters are joined that are cut.
    """
    parts: list[Any] = [
        part for part in getattr(optimizer, "chained_optimizers", [optimizer]) if isinstance(part, DistributedOptimizer)
    ]
    for part in parts:
        owners = _owners(part)
        _give(weights, owners, part.data_parallel_group)
        part.sharded_param_state_fully_reshardable = _Share(part, owners, memory).sharded_states
    try:
        yield
    finally:
        for part in parts:
            del part.sharded_param_state_fully_reshardable  # the class's own again


def _owners(part: DistributedOptimizer) -> Owners:
    """A rank whose shard holds some of the parameter: the only one, or else the one with the least to save so far."""
    size = part.data_parallel_group.size()
    owners: dict[Tensor, int] = {}
    loads = [0] * size
    placed = [
        (parameter, [rank for rank, length in enumerate(_lengths(buffer, parameter, size)) if length])
        for buffer in part.buffers
        for parameter in buffer.param_index_map
    ]
    # A bucket may hold few parameters: were they given by their middles, one rank would save those of every bucket.
    for parameter, ranks in sorted(placed, key=lambda one: (len(one[1]) > 1, -one[0].numel())):
        owners[parameter] = min(ranks, key=loads.__getitem__)
        loads[owners[parameter]] += parameter.numel()
    return owners


def _lengths(buffer: Any, parameter: Tensor, size: int) -> list[int]:
    """Elements of a parameter in the shard of each of `size` data-parallel ranks."""
    start, end, bucket = buffer.param_index_map[parameter]
    first, last = buffer.bucket_indices[bucket]
    edges = [min(max(first + rank * (last - first) // size, start), end) for rank in range(size + 1)]
    return [right - left for left, right in itertools.pairwise(edges)]


def _give(weights: Any, owners: Owners, group: ProcessGroup) -> None:
    """The owner becomes the first replica, which is the one that saves; the optimizer's states follow the weights."""
    rank, size = group.rank(), group.size()
    for sharded in _sharded(weights):
        if sharded.data in owners:
            assert isinstance(sharded.replica_id, tuple), f"{sharded.key}: no data-parallel rank in its replica id"
            sharded.replica_id = (*sharded.replica_id[:-1], (rank - owners[sharded.data]) % size)


def _sharded(weights: Any) -> list[Any]:
    return [one for one in nested_values(weights) if isinstance(one, (ShardedTensor, ShardedTensorFactory))]


@dataclass(frozen=True)
class _Share:
    """This rank's, of one optimizer's parameters."""

    part: Any
    owners: Owners
    memory: HostMemory

    def sharded_states(self, weights: Any, is_loading: bool = False, metadata: Any = None) -> dict[int, dict[str, Any]]:
        """As the method that it replaces: by place in the buffers; when loading, of what this rank holds."""
        del metadata
        by_parameter = {one.data: one for one in _sharded(weights)}
        found: dict[int, dict[str, Any]] = {}
        place = 0
        for ranges, buffer in zip(self.part.gbuf_ranges, self.part.buffers, strict=True):
            (buckets,) = ranges.values()
            mine: dict[Tensor, States] = {}
            for number, bucket in enumerate(buckets):
                held = bucket["param_map"]
                mine |= _empty(held) if is_loading else self._bucket(buffer, number, held)
            for parameter in buffer.param_index_map:
                if parameter in mine or not is_loading:
                    states: States = mine.get(parameter, {})
                    found[place] = {key: _like(by_parameter[parameter], key, states.get(key)) for key in STATES}
                place += 1
        return found

    def _bucket(self, buffer: Any, number: int, held: Mapping[Tensor, Any]) -> dict[Tensor, States]:
        """Of the parameters in a bucket that this rank owns: the optimizer's own tensors where possible.

        Args:
            buffer: all buckets of one type.
            number: the bucket's.
            held: parameters of which this rank's shard holds at least a part.
        """
        group = self.part.data_parallel_group
        states: dict[Tensor, States] = {}
        cut: list[tuple[Tensor, list[int]]] = []
        for parameter, (start, end, bucket) in buffer.param_index_map.items():
            if bucket == number:
                lengths = _lengths(buffer, parameter, group.size())
                if max(lengths) < end - start:
                    cut.append((parameter, lengths))
                elif self.owners[parameter] == group.rank():
                    states[parameter] = self._own(parameter)
                    if self.part.config.use_precision_aware_optimizer_no_fp8_or_ds_fp8:
                        # Made anew in float32, and a GPU has no room for all.
                        states[parameter] = {
                            key: self.memory.put((parameter, key), [one]) for key, one in states[parameter].items()
                        }
        if cut:  # the same on every rank
            parts = {parameter: self._own(parameter) for parameter, _ in cut if parameter in held}
            states |= self._joined(cut, parts)
        return states

    def _own(self, parameter: Tensor) -> States:
        """The part of each state, float32 [n], that this rank's shard holds."""
        tensors = self.part._get_main_param_and_optimizer_states(parameter)
        return {key: tensors[key].detach().view(-1) for key in STATES}

    def _joined(self, cut: list[tuple[Tensor, list[int]]], parts: Mapping[Tensor, States]) -> dict[Tensor, States]:
        """Parameters that lie in several ranks' shards, in host memory of their owners; collective.

        Args:
            cut: in an order that all ranks share, each with the number of its elements in every rank's shard.
            parts: what this rank's shard holds of them.
        """
        group, owners = self.part.data_parallel_group, self.owners
        rank, size = group.rank(), group.size()
        leaving = [parts[parameter][key] for to in range(size) for parameter, lengths in cut for key in STATES
                   if owners[parameter] == to and lengths[rank]]  # fmt: skip
        sent = [len(STATES) * sum(lengths[rank] for one, lengths in cut if owners[one] == to) for to in range(size)]
        mine = [(parameter, lengths) for parameter, lengths in cut if owners[parameter] == rank]
        pieces = [(source, parameter, key) for source in range(size) for parameter, _ in mine for key in STATES]
        lengths_of = dict(mine)
        received = [len(STATES) * sum(lengths[source] for _, lengths in mine) for source in range(size)]
        arrived = torch.empty(sum(received), dtype=torch.float32, device=cut[0][0].device)
        dist.all_to_all_single(
            arrived, torch.cat(leaving) if leaving else arrived.new_empty(0), received, sent, group=group
        )
        split = arrived.split([lengths_of[parameter][source] for source, parameter, _ in pieces])
        by_source = dict(zip(pieces, split, strict=True))
        # At once to the host, since a GPU has no room for all buckets; each to a storage of its own, since torch writes
        # a view of a larger one through a copy.
        return {
            one: {
                key: self.memory.put((one, key), [by_source[rank, one, key] for rank in range(size)]) for key in STATES
            }
            for one, _ in mine
        }


def _empty(parameters: Mapping[Tensor, Any]) -> dict[Tensor, States]:
    return {one: {key: torch.empty(one.numel(), dtype=torch.float32) for key in STATES} for one in parameters}


def _like(weight: Any, key: str, state: Tensor | None) -> Any:
    """A state that is sharded as its weight is; None: another rank saves it, and no memory is spent on it."""
    data = torch.zeros(1).expand(weight.data.shape) if state is None else state.view(weight.data.shape)
    dtype = {"dtype": data.dtype} if isinstance(weight, ShardedTensor) else {}
    sharded = replace(weight, key=f"optimizer.state.{key}.{weight.key}", data=data, **dtype)
    sharded.validate_metadata_integrity()
    return sharded
