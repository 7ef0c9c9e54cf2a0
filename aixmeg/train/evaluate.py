"""Held-out loss of text (next-token examples) and of middles (infilling).

Shapes: `b` micro-batch, `s` sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from aixmeg.data.stream import KIND_MIDDLE, KIND_NTP, ValidDataset
from aixmeg.train.batches import Batch, make_batch
from aixmeg.train.build import Training
from aixmeg.train.step import run_schedule

_KINDS = {"ntp_loss": KIND_NTP, "middle_loss": KIND_MIDDLE}


@dataclass(frozen=True, kw_only=True)
class ValidBatch(Batch):
    """A micro-batch with what each label counts as."""

    kinds: Tensor  # [b, s] uint8


def held_out_windows(dataset: ValidDataset, wanted: int) -> list[int]:
    """About `wanted` windows: half with next-token labels and half with middles, each spread evenly over the split.

    Middles are few tokens of long files: windows spread without regard to what they count might hold none.
    """
    found = [dataset.windows_of(kind) for kind in _KINDS.values()]
    found = [windows for windows in found if len(windows)]
    chosen: set[int] = set()
    for windows in found:
        number = min(len(windows), max(1, wanted // len(found)))
        chosen.update(windows[np.arange(number) * len(windows) // number].tolist())
    return sorted(chosen)


def evaluate(training: Training, dataset: ValidDataset, windows: Sequence[int]) -> dict[str, float | None]:
    """Mean loss in nats per token over `windows`: {"ntp_loss", "middle_loss"}, None without such labels; collective."""
    batches = _rank_batches(training, dataset, windows)
    for model in training.wrapped:
        model.eval()
    with torch.no_grad():
        sums = run_schedule(training, batches, _valid_forward, forward_only=True)
    for model in training.wrapped:
        model.train()
    total = torch.zeros(len(_KINDS), 2, dtype=torch.float64, device=training.device)  # (sum, labels) per kind
    if training.topology.is_last_stage and training.topology.tp_rank == 0:
        total += torch.stack([entry["sums"] for entry in sums]).sum(dim=0)
    dist.all_reduce(total)
    return {name: (row[0] / row[1] if row[1] else None) for name, row in zip(_KINDS, total.tolist(), strict=True)}


def _rank_batches(training: Training, dataset: ValidDataset, windows: Sequence[int]) -> list[ValidBatch]:
    """This data-parallel rank's part, filled up to whole micro-batches, equally many per rank, with uncounted rows."""
    size, topology = training.config.train.micro_batch_size, training.topology
    per_rank = math.ceil(len(windows) / (size * topology.dp_size)) * size
    mine = list(windows[topology.dp_rank * per_rank : (topology.dp_rank + 1) * per_rank])
    rows = [dataset[window] for window in mine]
    tokens, kinds = dataset[windows[0]]
    rows += [(tokens, np.zeros_like(kinds))] * (per_rank - len(rows))
    return [_valid_batch(rows[start : start + size], training.device) for start in range(0, per_rank, size)]


def _valid_batch(rows: Sequence[tuple[np.ndarray, np.ndarray]], device: torch.device) -> ValidBatch:
    batch = make_batch([tokens for tokens, _ in rows], device)
    kinds = torch.from_numpy(np.stack([kinds for _, kinds in rows])).to(device)
    return ValidBatch(tokens=batch.tokens, labels=batch.labels, kinds=kinds)


def _valid_forward(batches: Iterator[ValidBatch], model: Any) -> tuple[Tensor, Any]:
    batch = next(batches)
    losses = model(batch.tokens, labels=batch.labels)  # [b, s] on the last stage

    def split(losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        exact = losses.double()
        rows = [torch.stack([exact[batch.kinds == kind].sum(), (batch.kinds == kind).sum().double()])
                for kind in _KINDS.values()]  # fmt: skip
        return losses.mean(), {"sums": torch.stack(rows)}

    return losses, split
