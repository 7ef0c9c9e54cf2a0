"""Write and read megatron-core's `torch_dist` checkpoint format, synchronously and inside the training processes.

The folder is what `megatron.core.dist_checkpointing.save` would write, and its `load` reads it. Two things differ on
the way there. Its default writer spawns a manager process and forks one writer per file, which at the first save of a
69 MB checkpoint took 1.7 s against 0.2 s here (two ranks, two cores) and forks processes that hold threads; torch's own
synchronous writer needs neither. And there a full disk raises on the rank that meets it while the others wait for
ever; here every phase ends with all ranks agreeing on its outcome.

The format holds pickles (`.metadata`): load only checkpoints that you trust.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from megatron.core.dist_checkpointing.core import CheckpointingConfig, CheckpointingException, save_config
from megatron.core.dist_checkpointing.serialization import load as load_sharded
from megatron.core.dist_checkpointing.state_dict_utils import save_preprocess
from megatron.core.dist_checkpointing.strategies.common import TorchCommonSaveStrategy
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_saver import save as save_torch
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from aixmeg.errors import UserError
from aixmeg.train.together import on_rank_zero

ShardedState = dict[str, Any]


def save(state: ShardedState, folder: Path, *, metadata: dict[str, Any]) -> None:
    """Write `state` into the existing, empty `folder`; collective.

    Args:
        state: sharded tensors, and plain values that are equal on all ranks.
        folder: seen by all ranks.
        metadata: how the state is sharded; stored, and given back to those who load.

    Raises:
        OSError: a rank's write failed; raised on every rank.
    """
    sharded, common = save_preprocess({**state, "content_metadata": metadata})
    on_rank_zero(lambda: TorchCommonSaveStrategy("torch", 1).save_common(common, folder))
    by_key, *_ = _replace_state_dict_keys_with_sharded_keys(dict(sharded), keep_only_main_replica=True)
    planner = MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)
    try:
        save_torch(mcore_to_pyt_state_dict(by_key), storage_writer=_Writer(folder), planner=planner)
    except CheckpointException as error:
        refused = [failure for failure, _ in error.failures.values() if isinstance(failure, OSError)]
        raise (refused[0] if refused else error) from error
    on_rank_zero(lambda: save_config(CheckpointingConfig("torch_dist", 1), str(folder)))


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


class _Writer(FileSystemWriter):
    """torch.save hides a full disk: when a write fails, closing its archive fails too, and that is what it raises."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise
