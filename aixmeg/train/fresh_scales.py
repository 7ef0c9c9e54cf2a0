"""Going on with delayed FP8 scaling from a checkpoint that has no history of it: the layers start with none."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.filesystem import FileSystemReader

from aixmeg.train.together import on_rank_zero

_PART = "fp8_scaling."


def take_out_missing(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Remove from a load request the scales and histories that the checkpoint lacks; collective.

    Args:
        state: what to load: sharded tensors by model chunk (`model0`, …) and name; changed in place.
        folder: the checkpoint.

    Returns:
        What was removed, by model chunk and name, as it is in the model. Where all is there, nothing.
    """
    present = on_rank_zero(lambda: _scales(folder))
    removed: dict[str, Any] = {}
    for chunk, request in state.items():
        names = list(request) if chunk.startswith("model") and isinstance(request, dict) else []
        for name in names:
            if _PART in name and request[name].key not in present:
                removed.setdefault(chunk, {})[name] = request.pop(name).data
    return removed


def put_back(loaded: dict[str, Any], removed: dict[str, Any]) -> None:
    """Complete what was loaded, so that it is a whole state of the model."""
    for chunk, values in removed.items():
        loaded[chunk].update(values)


def notices(removed: dict[str, Any], folder: Path) -> list[str]:
    """What to tell the user, the same on every rank; collective."""
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, bool(removed))  # layers kept in bf16 may fill a pipeline stage, which lacks nothing
    text = f"{folder} has no history of delayed scaling: FP8 scales begin with current magnitudes"
    return [text] if any(found) else []


def _scales(folder: Path) -> set[str]:
    """Keys of delayed scaling in a checkpoint; none where it cannot be read, which loading will say."""
    try:
        contents = FileSystemReader(folder).read_metadata().state_dict_metadata
    except (OSError, EOFError, pickle.UnpicklingError):
        return set()
    return {key for key in contents if _PART in key}
