"""Save and load a training; weights alone for conversion and generation."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aixmeg.config import Config
from aixmeg.errors import UserError
from aixmeg.parallel.adam_resume import check_steps
from aixmeg.parallel.topology import Topology
from aixmeg.train import torch_dist
from aixmeg.train.build import Training, whole_parameters
from aixmeg.train.folders import (
    Manifest,
    find_latest,
    latest_checkpoint,
    publish,
    read_manifest,
    temporary_folder,
)
from aixmeg.train.state import SHARDING, load_models, load_training, model_state, training_state
from aixmeg.train.together import on_rank_zero

__all__ = ["describe", "latest_checkpoint", "load_checkpoint", "load_model_weights", "save_checkpoint"]

_EXACT = {"train": ("seed", "global_batch_size", "precision")}
"""Options besides the model's and the data that decide the numbers of the following steps."""
_ANY_WEIGHTS = (
    "layer_set", "fp8", "fp8_recipe", "fp8_margin", "fp8_amax_history_len", "first_last_layers_bf16",
    "num_layers_at_start_in_bf16", "num_layers_at_end_in_bf16",
)  # fmt: skip
"""Options of the model that change how it computes, not what its weights are."""


def describe(config: Config, *, step: int, data: dict[str, Any]) -> Manifest:
    """What aixmeg.json says of a checkpoint; `data` identifies the tokenizer and the training tokens."""
    return {
        "step": step,
        "consumed_samples": step * config.train.global_batch_size,
        "model": dataclasses.asdict(config.model),
        "train": {name: getattr(config.train, name) for name in _EXACT["train"]},
        "optimizer": dataclasses.asdict(config.optimizer),
        "parallel": dataclasses.asdict(config.parallel),
        "data": data,
    }


def save_checkpoint(training: Training, run: Path, step: int, *, data: dict[str, Any]) -> Path:
    """Write the checkpoint of `step` under a temporary name and publish it when complete; collective.

    Raises:
        UserError: the disk refuses it; the earlier checkpoints and `latest` are untouched, and nothing is left of it.
    """
    temporary = temporary_folder(run, step)
    manifest = describe(training.config, step=step, data=data)
    try:
        on_rank_zero(lambda: _make_empty(temporary))
        with whole_parameters(training):
            state = training_state(
                training.models, training.optimizer, training.topology, loading=False, with_random=True
            )
            torch_dist.save(state, temporary, metadata=SHARDING)
        keep = training.config.train.keep_checkpoints
        return on_rank_zero(lambda: publish(run, step, manifest, keep=keep))
    except (OSError, UserError) as error:
        on_rank_zero(lambda: shutil.rmtree(temporary, ignore_errors=True))
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(
            f"cannot save the checkpoint of step {step} in {temporary.parent}: {cause}; earlier checkpoints are "
            "untouched: free space, then go on with --resume"
        ) from error


def load_checkpoint(training: Training, run: Path, *, data: dict[str, Any]) -> tuple[int, list[str]]:
    """Continue from the newest checkpoint; collective.

    Returns:
        Its step, 0 where there is none yet, and notices for the user.

    Raises:
        UserError: it is incomplete, or belongs to another model, seed, batch size, precision or data.
    """
    folder = on_rank_zero(lambda: find_latest(run))
    if folder is None:
        return 0, [f"no checkpoint in {run} yet: starting from step 0"]
    manifest = on_rank_zero(lambda: read_manifest(folder))
    notices = _compare(manifest, describe(training.config, step=manifest["step"], data=data), folder)
    same_layout = all(
        manifest["parallel"][name] == getattr(training.config.parallel, name)
        for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size")
    )
    with whole_parameters(training):
        request = training_state(
            training.models, training.optimizer, training.topology, loading=True, with_random=same_layout
        )
        load_training(training.models, training.optimizer, torch_dist.load(request, folder))
    check_steps(training.optimizer, manifest["step"])
    return manifest["step"], [f"continuing from {folder}", *notices]


def load_model_weights(
    run: Path, models: Sequence[torch.nn.Module], topology: Topology, step: int | None = None
) -> Manifest:
    """Fill bare model chunks with the weights of a run's newest checkpoint (or that of `step`), of any layout.

    Collective over all ranks of `topology`; a single process reads any layout. Returns aixmeg.json.

    Raises:
        UserError: no such checkpoint, incomplete, or of another model.
    """
    del topology  # the sharding of each weight is known to the model; the argument says that ranks must be set up
    folder = latest_checkpoint(run, step)
    manifest = read_manifest(folder)
    load_models(models, torch_dist.load(model_state(models), folder))
    return manifest


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _compare(saved: Manifest, wanted: Manifest, folder: Path) -> list[str]:
    """Refuse another model, seed, batch or data; return what else differs, as notices."""
    refused, noticed = [], []
    for section in ("model", "train", "data", "optimizer", "parallel"):
        for name in sorted(saved[section].keys() | wanted[section].keys()):
            old, new = saved[section].get(name), wanted[section].get(name)
            if old == new:
                continue
            text = f"{section}.{name} was {old!r}, is now {new!r}"
            free = section in ("optimizer", "parallel") or (section == "model" and name in _ANY_WEIGHTS)
            (noticed if free else refused).append(text)
    if refused:
        raise UserError(
            f"the checkpoint {folder} belongs to another training:\n"
            + "\n".join(f"  - {text}" for text in refused)
            + "\nset these back to resume it, or start a new run with another --paths.run"
        )
    return noticed
