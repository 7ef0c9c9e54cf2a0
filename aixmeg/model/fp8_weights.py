"""The FP8 copies of a linear's weight, made once per optimizer step instead of once per micro-batch.

Optional (`model.fp8_keep_weights`): the two layouts, of the forward and of the backward pass, take 2 bytes per weight
on each rank from the first micro-batch on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Axis = Literal["rows", "columns"]


@dataclass(frozen=True)
class QuantisedWeight:
    """One layout and its scale."""

    matrix: Tensor
    """[n, k] where the scale is of rows, [k, n] where it is of columns; FP8."""
    scale: Tensor
    scale_inv: Tensor
    noted: bool
    """Whether delayed scaling has noted the weight's magnitude while it was made."""


class KeptWeights:
    """What was made since the last `forget`, by layout.

    Weights change in two ways. An optimizer step writes them, for megatron-core's distributed optimizer through another
    view of their memory, of which the weight knows nothing: `forget_weights` is called where a step's gradients
    are ready. Loading a checkpoint or a test writes the weight itself, which its version tells.
    """

    def __init__(self) -> None:
        self._made: dict[Axis, QuantisedWeight] = {}
        self._weight: tuple[int, int] | None = None

    def find(self, weight: Tensor, axis: Axis, *, note: bool) -> QuantisedWeight | None:
        """The layout, unless the weight has changed, or was quantised without the note that is asked for."""
        if self._weight != _identity(weight):
            return None
        made = self._made.get(axis)
        return made if made is not None and (made.noted or not note) else None

    def keep(self, weight: Tensor, axis: Axis, made: QuantisedWeight) -> None:
        """Hold a layout until the weight changes."""
        if self._weight != _identity(weight):
            self._made.clear()
            self._weight = _identity(weight)
        self._made[axis] = made

    def forget(self) -> None:
        """Free everything."""
        self._made.clear()
        self._weight = None


def _identity(weight: Tensor) -> tuple[int, int]:
    return weight.data_ptr(), weight._version


def forget_weights(models: Iterable[torch.nn.Module]) -> None:
    """The weights of these models are about to change."""
    for model in models:
        for module in model.modules():
            kept = getattr(module, "fp8_weights", None)
            if isinstance(kept, KeptWeights):
                kept.forget()
