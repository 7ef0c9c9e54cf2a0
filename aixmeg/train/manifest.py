"""What a checkpoint says of the training that it belongs to, and whether another one may go on from it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aixmeg
from aixmeg.config import Config, dump_config
from aixmeg.config.sections import ANY_WEIGHTS
from aixmeg.errors import UserError
from aixmeg.train.batches import step_samples
from aixmeg.train.folders import Manifest
from aixmeg.train.skip import Skipped

_EXACT = ("seed", "global_batch_size", "precision", "document_mask", "rampup_batch_size")
"""Options of `train` that decide the numbers of the following steps."""
_SECTIONS = ("model", "train", "data", "optimizer", "parallel", "versions")
_FREE = ("optimizer", "parallel", "versions")
"""Sections in which all may change."""


def describe(
    config: Config,
    *,
    step: int,
    data: dict[str, Any],
    skipped: Skipped | None = None,
    health: Sequence[Sequence[float]] = (),
) -> Manifest:
    """What aixmeg.json says of a checkpoint.

    Args:
        config: of the training.
        step: last step that is in it.
        data: identifies the tokenizer and the training tokens.
        skipped: samples that are left out.
        health: losses and gradient norms that later ones are judged by.
    """
    skipped = skipped or Skipped()
    consumed = step_samples(step, config.train).start
    return {
        "step": step,
        "consumed_samples": consumed,
        "next_sample": skipped.sample(consumed),
        "skipped": [list(window) for window in skipped.windows],
        "model": dataclasses.asdict(config.model),
        "train": {name: _plain(getattr(config.train, name)) for name in _EXACT},
        "optimizer": {name: _plain(value) for name, value in dataclasses.asdict(config.optimizer).items()},
        "parallel": {name: _plain(value) for name, value in dataclasses.asdict(config.parallel).items()},
        "data": data,
        "config_sha256": hashlib.sha256(dump_config(config).encode()).hexdigest(),
        "versions": versions(),
        "health": [list(pair) for pair in health],
    }


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value


def versions() -> dict[str, str]:
    """What the numbers of a run depend on."""
    found = {"aixmeg": aixmeg.__version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in ("torch", "megatron-core", "numpy")}


def compare(saved: Manifest, wanted: Manifest, folder: Path) -> list[str]:
    """Notices of what differs between a checkpoint and the training that wants to go on from it.

    Raises:
        UserError: it is of another model, seed, batch, tokenizer or data, or was trained on samples that are now left
            out; every difference is named.
    """
    refused, noticed = [], []
    for section in _SECTIONS:
        for name in sorted(saved[section].keys() | wanted[section].keys()):
            old, new = saved[section].get(name), wanted[section].get(name)
            if old == new:
                continue
            text = f"{section}.{name} was {old!r}, is now {new!r}"
            free = section in _FREE or (section == "model" and name in ANY_WEIGHTS)
            (noticed if free else refused).append(text)
    before, now = (_past(manifest["skipped"], saved["next_sample"]) for manifest in (saved, wanted))
    if before != now:
        refused.append(f"samples left out before sample {saved['next_sample']} were {before}, are now {now}")
    if refused:
        raise UserError(
            f"the checkpoint {folder} belongs to another training:\n"
            + "\n".join(f"  - {text}" for text in refused)
            + "\nset these back to resume it, or start a new run with another --paths.run"
        )
    return noticed


def _past(windows: list[list[int]], next_sample: int) -> list[list[int]]:
    return [window for window in windows if window[0] < next_sample]
