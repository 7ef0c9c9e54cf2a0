"""What a run directory says of itself, while the run goes on: files may be missing, half-written or just going.

Nothing is written and nothing is locked. No torch: a login node may have none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aixmeg.files import read_records
from aixmeg.train.folders import checkpoints_folder

JOBS = "submit/jobs.jsonl"
"""Submissions of a run."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """How far a run is."""

    steps: int | None = None
    """Steps of the whole run, from config.yaml."""
    step: int | None = None
    """Last step in metrics.jsonl."""
    checkpoint: int | None = None
    """Step of the checkpoint that `latest` names."""
    train: list[dict[str, Any]] = field(default_factory=list)
    """Records of training steps, oldest first."""
    valid: dict[str, Any] | None = None
    """Newest record of held-out losses."""


def read_state(run: Path) -> RunState:
    """What there is to know; None where a file is not there yet."""
    records = read_records(run / "metrics.jsonl")
    train = [record for record in records if record.get("kind") == "train" and isinstance(record.get("step"), int)]
    valid = [record for record in records if record.get("kind") == "valid"]
    return RunState(
        steps=_configured_steps(run / "config.yaml"),
        step=train[-1]["step"] if train else None,
        checkpoint=_latest(run),
        train=train,
        valid=valid[-1] if valid else None,
    )


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where it is missing or broken."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _configured_steps(path: Path) -> int | None:
    try:
        tree = yaml.safe_load(path.read_bytes())
        steps = tree["train"]["steps"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
    return steps if isinstance(steps, int) else None


def _latest(run: Path) -> int | None:
    """Step that `latest` names, without a look at the checkpoint itself."""
    try:
        return int((checkpoints_folder(run) / "latest").read_text().strip().removeprefix("step-"))
    except (OSError, ValueError):
        return None
