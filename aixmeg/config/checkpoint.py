"""How checkpoints are written and which of them are kept, beside `train.save_interval` and `train.keep_checkpoints`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Writing, retention and verification of checkpoints."""

    asynchronous: bool = True
    """Write beside the training, from a copy in host memory (of what the rank writes: weights and optimizer states);
    false lets the training wait."""
    keep_every: int = 0
    """Checkpoints of steps that are multiples of this are kept for ever; 0 keeps none but the newest."""
    verify: bool = True
    """Compare every file's SHA-256 with the one noted at saving before a training goes on from it."""
    max_failed_saves: int = 3
    """Saves in a row that may fail, on a full disk for instance, before the training stops; 0 stops at the first."""

    def problems(self, path: str) -> Iterator[str]:
        """Every broken rule of this section, which is called `path`."""
        for name in ("keep_every", "max_failed_saves"):
            if getattr(self, name) < 0:
                yield f"{path}.{name}={getattr(self, name)} must be zero or more"
