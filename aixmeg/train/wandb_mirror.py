"""Metrics to Weights & Biases, for those who ask for it; one W&B run per run directory, over restarts."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aixmeg.config.logging import LoggingConfig
from aixmeg.errors import UserError
from aixmeg.files import atomic_write

ID: Final = "wandb_id"
"""File of the run directory."""


class WandbMirror:
    """Sends numbers under their TensorBoard tags. Steps are a number of their own: W&B's counter never goes back, as a
    training that is resumed or rolled back does; steps trained twice are there twice.

    Raises:
        UserError: the package is missing, or W&B refuses.
    """

    def __init__(self, options: LoggingConfig, folder: Path) -> None:
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError(
                f"logging.wandb_project={options.wandb_project} needs the package wandb; pip install wandb, or set null"
            ) from error
        path = folder / ID
        if not path.exists():
            with atomic_write(path) as file:
                file.write(secrets.token_hex(8))
        try:
            self._run: Any = wandb.init(
                project=options.wandb_project, name=folder.resolve().name, dir=str(folder), mode=options.wandb_mode,
                id=path.read_text(encoding="utf-8").strip(), resume="allow",
            )  # fmt: skip
        except wandb.Error as error:
            raise UserError(
                f"Weights & Biases: {error}; see `wandb login`, or set logging.wandb_mode=offline"
            ) from error
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """The numbers of one record."""
        self._run.log({**numbers, "step": step})

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()
