"""Write and read megatron-core's `torch_dist` checkpoint format inside the training processes, beside the training.

The folder is what `megatron.core.dist_checkpointing.save` would write, and its `load` reads it. Three things differ on
the way there. Its asynchronous writer keeps a process that it spawns, and forks one writer per file from processes that
hold threads; here `prepare` copies what the rank writes to host memory and `write` may run in a thread. Its ranks agree
over the training's own process group; here `write` takes a group of its own, so that both go on at once. And there a
full disk raises on the rank that meets it while the others wait for ever; here every phase ends with all ranks agreeing
on its outcome. The SHA-256 of a file is taken from the bytes on their way to the disk.

The format holds pickles (`.metadata`): load only checkpoints that you trust.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch.distributed as dist
from megatron.core.dist_checkpointing import ShardedTensor
from megatron.core.dist_checkpointing.core import CheckpointingConfig, CheckpointingException, save_config
from megatron.core.dist_checkpointing.serialization import load as load_sharded
from megatron.core.dist_checkpointing.state_dict_utils import save_preprocess
from megatron.core.dist_checkpointing.strategies.common import TorchCommonSaveStrategy
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from megatron.core.dist_checkpointing.utils import _clean_metadata_for_serialization
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from aixmeg.errors import UserError
from aixmeg.train.host_memory import HostMemory
from aixmeg.train.together import gather_on_zero, on_every_rank, on_rank_zero

ShardedState = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What this rank has to write; nothing in it is touched by the training any more if it was copied."""

    folder: Path
    writer: _Writer
    planner: SavePlanner
    plan: SavePlan
    common: dict[str, Any]
    """Plain values, equal on all ranks."""
    metadata: Metadata | None
    """Where each tensor lies; on rank 0 only."""


def prepare(
    state: ShardedState,
    folder: Path,
    *,
    metadata: dict[str, Any],
    memory: HostMemory | None = None,
    check: bool = True,
) -> Prepared:
    """Decide which rank writes what into the existing, empty `folder`; collective.

    Args:
        state: sharded tensors, and plain values that are equal on all ranks.
        folder: seen by all ranks.
        metadata: how the state is sharded; stored, and given back to those who load.
        memory: copy to it what is not in it already, so that training may go on; None copies nothing.
        check: that the ranks' shards make whole tensors, none of them twice.
    """
    sharded, common = save_preprocess({**state, "content_metadata": metadata}, validate_access_integrity=check)
    if not check:
        common["content_metadata"] = _clean_metadata_for_serialization(common["content_metadata"])
    by_key, *_ = _replace_state_dict_keys_with_sharded_keys(dict(sharded), keep_only_main_replica=True)
    if memory is not None:
        common = copy.deepcopy(common)
        _copy_to(memory, (one for shards in by_key.values() for one in shards))
    planner = MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)
    writer, rank = _Writer(folder), dist.get_rank()
    planner.set_up_planner(
        state_dict=mcore_to_pyt_state_dict(by_key), storage_meta=writer.storage_meta(), is_coordinator=rank == 0
    )
    writer.set_up_storage_writer(rank == 0, rank=rank, use_collectives=True)
    plan, whole = _agree(planner, writer, writer.prepare_local_plan(planner.create_local_plan()))
    return Prepared(
        folder=folder, writer=writer, planner=planner, plan=planner.finish_plan(plan), common=common, metadata=whole
    )


def write(prepared: Prepared, group: ProcessGroup | None = None) -> dict[str, str]:
    """Write what was prepared; collective over `group`, all ranks (None: the training's own).

    Returns:
        On rank 0, SHA-256 of the files that hold tensors, by name.

    Raises:
        UserError: a rank's write failed; raised on every rank.
    """
    results = on_every_rank(lambda: _write_rank(prepared), group)
    everything = gather_on_zero((results, prepared.writer.digests), group)
    on_rank_zero(lambda: _write_zero(prepared, [found for found, _ in everything]), group)
    return {name: digest for _, digests in everything for name, digest in digests.items()}


def load(state: ShardedState, folder: Path) -> ShardedState:
    """Fill the tensors that `state` asks for from `folder`, written in any layout; collective.

    Raises:
        UserError: the checkpoint lacks a tensor, has another shape, or is damaged.
    """
    try:
        loaded: Any = load_sharded(state, str(folder))
    except (CheckpointException, CheckpointingException, OSError, EOFError, pickle.UnpicklingError) as error:
        cause = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise UserError(
            f"cannot read the checkpoint {folder}: {cause[0]}; if it is damaged, delete it and write the name of "
            f"another one into {folder.parent / 'latest'}"
        ) from error
    return loaded


def _copy_to(memory: HostMemory, shards: Iterable[Any]) -> None:
    for shard in shards:
        if isinstance(shard, ShardedTensor) and shard.data is not None and shard.data not in memory:
            shard.data = memory.copy((shard.key, shard.global_offset), shard.data)
    memory.finish()


def _agree(planner: SavePlanner, writer: _Writer, local: SavePlan) -> tuple[SavePlan, Metadata | None]:
    """This rank's part of the global plan, and on rank 0 the table of contents."""
    every = gather_on_zero(local)
    made: list[Any] = [None, None]

    def make() -> None:
        plans, made[1] = planner.create_global_plan(every)
        made[0] = writer.prepare_global_plan(plans)

    on_rank_zero(make)
    mine: list[Any] = [None]
    dist.scatter_object_list(mine, made[0], src=0)
    return mine[0], made[1]


def _write_rank(prepared: Prepared) -> list[WriteResult]:
    try:
        return prepared.writer.write_data(prepared.plan, prepared.planner).value()
    except OSError as error:
        raise UserError(error.strerror or str(error)) from error


def _write_zero(prepared: Prepared, results: list[list[WriteResult]]) -> None:
    """The files that there is one of; the table of contents of the tensors last."""
    folder = prepared.folder
    try:
        TorchCommonSaveStrategy("torch", 1).save_common(prepared.common, folder)
        save_config(CheckpointingConfig("torch_dist", 1), str(folder))
        assert prepared.metadata is not None
        prepared.writer.finish(prepared.metadata, results)
    except OSError as error:
        raise UserError(error.strerror or str(error)) from error


class _Writer(FileSystemWriter):
    """torch's synchronous writer; it hashes what it writes, and says when the disk is full.

    torch.save hides that: when a write fails, closing its archive fails too, and that is what it raises.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.digests: dict[str, str] = {}
        """SHA-256 of this rank's finished files, by name."""
        self.fs = _HashingFileSystem(self.digests)

    def storage_meta(self) -> StorageMeta:
        # No place and no number at random: the same state makes the same bytes, so that who reads a checkpoint while it
        # is saved again (the training was killed before `latest` named it) finds what the table of contents says.
        name = Path(self.path).name
        return StorageMeta(checkpoint_id=name, save_id=name)

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


class _HashingFileSystem(FileSystem):
    def __init__(self, digests: dict[str, str]) -> None:
        self._digests = digests

    @contextlib.contextmanager
    def create_stream(self, path: str | os.PathLike, mode: str) -> Iterator[Any]:
        with Path(path).open(mode) as file:
            if mode != "wb":
                yield file
                return
            stream = _HashingStream(file)
            yield stream
        if Path(path).suffix == ".distcp":
            self._digests[Path(path).name] = stream.digest.hexdigest()


class _HashingStream:
    """A file that is written from its beginning to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        self.digest.update(data)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
