"""Load a training, the newest checkpoint that is whole; weights alone for conversion and generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from aixmeg.errors import UserError
from aixmeg.parallel.adam_resume import check_steps
from aixmeg.parallel.topology import Topology
from aixmeg.train import fresh_scales, torch_dist
from aixmeg.train.build import Training, whole_parameters
from aixmeg.train.folders import (
    Manifest,
    changed_files,
    damage,
    find_latest,
    latest_checkpoint,
    list_checkpoints,
    point_to,
    read_manifest,
    set_aside,
    step_of,
    verify,
)
from aixmeg.train.manifest import compare, describe
from aixmeg.train.optimizer_forms import OtherForm
from aixmeg.train.skip import Skipped
from aixmeg.train.state import load_models, load_training, model_state, training_state
from aixmeg.train.together import on_every_rank, on_rank_zero

__all__ = ["DamageNotice", "find_whole", "latest_checkpoint", "load_checkpoint", "load_model_weights", "restore"]


class DamageNotice(str):
    """What the user is told of a checkpoint that was set aside."""

    held: int = 0
    """The step that it held."""


def load_checkpoint(
    training: Training, run: Path, *, data: dict[str, Any], skipped: Skipped | None = None
) -> tuple[Manifest | None, list[str]]:
    """Continue from the newest checkpoint that is undamaged; collective.

    Damaged ones are set aside, with a notice, when there is an older one to go on from.

    Returns:
        Its table of contents, None where there is no checkpoint yet, and notices for the user.

    Raises:
        UserError: none is whole, or it belongs to another model, seed, batch size, precision or data.
    """
    newest = on_rank_zero(lambda: find_latest(run))
    if newest is None:
        return None, [f"no checkpoint in {run} yet: starting from step 0"]
    folders = on_rank_zero(lambda: [folder for folder in list_checkpoints(run) if step_of(folder) <= step_of(newest)])
    folder, manifest, damaged = find_whole(folders, verify=training.config.checkpoint.verify)
    if manifest.get("weights_only"):
        raise UserError(
            f"{folder} holds weights without optimizer state, so there is nothing to resume; start a new run from it "
            f"with --train.init_from {run}"
        )
    wanted = describe(training.config, step=manifest["step"], data=data, skipped=skipped)
    notices = compare(manifest, wanted, folder)
    if damaged:
        notices = [*on_rank_zero(lambda: _set_aside(damaged, folder)), *notices]
    notices = [*notices, *restore(training, folder, manifest)]
    return manifest, [f"continuing from {folder}", *notices]


def find_whole(folders: Sequence[Path], *, verify: bool) -> tuple[Path, Manifest, dict[Path, str]]:
    """The newest undamaged checkpoint, its table of contents, and what is wrong with newer ones; collective.

    Args:
        folders: oldest first.
        verify: read every file and compare its SHA-256; the ranks share the work.

    Raises:
        UserError: none is whole; says what is wrong with the newest.
    """
    damaged: dict[Path, str] = {}
    for folder in reversed(folders):
        manifest, problem = on_rank_zero(lambda folder=folder: _read(folder))
        if manifest is not None and verify:
            problem = _changed(folder, manifest)
        if manifest is not None and problem is None:
            return folder, manifest, damaged
        damaged[folder] = str(problem)
    rest = "" if len(damaged) == 1 else f"; the {len(damaged) - 1} before it are damaged too"
    raise UserError(f"{next(iter(damaged.values()))}{rest}")


def restore(training: Training, folder: Path, manifest: Manifest) -> list[str]:
    """Fill weights, optimizer and, in the same layout, random-number states; collective. Returns notices for the user.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    same_layout = all(
        manifest["parallel"][name] == getattr(training.config.parallel, name)
        for name in ("tensor_model_parallel_size", "pipeline_model_parallel_size")
    )
    with whole_parameters(training):
        request = training_state(
            training.models, training.optimizer, training.topology, loading=True, with_random=same_layout
        )
        form = _other_form(training, manifest)
        if form is not None:
            form.rename(request)
        delayed = training.config.model.fp8 is not None and training.config.model.fp8_recipe == "delayed"
        removed = fresh_scales.take_out_missing(request, folder) if delayed else {}
        loaded = torch_dist.load(request, folder)
        if form is not None:
            form.rearrange(loaded, request)
        fresh_scales.put_back(loaded, removed)
        load_training(training.models, training.optimizer, loaded)
    check_steps(training.optimizer, manifest["step"])
    return fresh_scales.notices(removed, folder) if delayed else []


def _other_form(training: Training, manifest: Manifest) -> OtherForm | None:
    stored = manifest["parallel"]["use_distributed_optimizer"]
    if stored == training.config.parallel.use_distributed_optimizer:
        return None
    return OtherForm(distributed=stored, float32=training.config.train.precision == "fp32")


def load_model_weights(
    run: Path, models: Sequence[torch.nn.Module], topology: Topology, step: int | None = None
) -> Manifest:
    """Fill bare model chunks with the weights of a run's newest checkpoint (or that of `step`), of any layout.

    Collective over all ranks of `topology`; a single process reads any layout. Returns aixmeg.json.

    Raises:
        UserError: no such checkpoint, incomplete, damaged, or of another model.
    """
    del topology  # the sharding of each weight is known to the model; the argument says that ranks must be set up
    folder = latest_checkpoint(run, step)
    manifest = verify(folder)
    load_models(models, torch_dist.load(model_state(models), folder))
    return manifest


def _read(folder: Path) -> tuple[Manifest | None, str | None]:
    try:
        return read_manifest(folder), None
    except UserError as error:
        return None, str(error)


def _changed(folder: Path, manifest: Manifest) -> str | None:
    """What is wrong with the files' bytes; every rank reads its part of them."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    found: list[Any] = [None] * ranks
    dist.all_gather_object(found, on_every_rank(lambda: changed_files(folder, manifest, part=rank, parts=ranks)))
    changed = sorted(name for part in found for name in part)
    return damage(folder, changed) if changed else None


def _set_aside(damaged: dict[Path, str], whole: Path) -> list[str]:
    """Rename damaged checkpoints once `latest` names the one that is whole; notices."""
    point_to(whole)
    notices = []
    for folder, problem in damaged.items():
        notice = DamageNotice(f"{problem.split(';')[0]}; it is {set_aside(folder)} now")
        notice.held = step_of(folder)
        notices.append(notice)
    return notices
