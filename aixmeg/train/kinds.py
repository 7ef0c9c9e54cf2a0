"""Losses by what a label is: text of next-token examples, or a middle that an infilling example asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from aixmeg.data.labels import KIND_MIDDLE, KIND_NTP

KINDS: Final = {"ntp_loss": KIND_NTP, "middle_loss": KIND_MIDDLE}
"""Field of a metrics record → kind of label."""


def sums_by_kind(losses: Tensor, kinds: Tensor) -> Tensor:
    """[2, 2] float64, a row per entry of `KINDS`: sum of the losses `[b, s]` and number of its labels in `[b, s]`."""
    exact, rows = losses.detach().double(), []
    for kind in KINDS.values():
        chosen = kinds == kind
        rows.append(torch.stack([exact[chosen].sum(), chosen.sum().double()]))
    return torch.stack(rows)


def means_by_kind(sums: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """{"ntp_loss", "middle_loss"} in nats per token; None where there is no such label."""
    return {name: total / labels if labels else None for name, (total, labels) in zip(KINDS, sums, strict=True)}
