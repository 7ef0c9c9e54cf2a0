"""Which documents of packed samples attention keeps apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from torch import Tensor

from aixmeg.config import TrainConfig
from aixmeg.config.sections import DocumentUnit
from aixmeg.model.documents import document_table


class Source(Protocol):
    """A dataset that knows where documents begin in a sample."""

    def documents(self, index: int, unit: DocumentUnit, /) -> np.ndarray:
        """Their first positions among the inputs of sample `index`, int64, ascending from 0."""
        ...


@dataclass(frozen=True, kw_only=True)
class DocumentMask:
    """What `train.document_mask` asks for."""

    unit: DocumentUnit
    reset_position_ids: bool

    @classmethod
    def of(cls, train: TrainConfig) -> Self | None:
        """None where attention crosses documents."""
        if train.document_mask is None:
            return None
        return cls(unit=train.document_mask, reset_position_ids=train.reset_position_ids)

    def table(self, source: Source, samples: Sequence[int], length: int) -> Tensor:
        """What the model is given for these samples, `length` inputs each (`aixmeg.model.documents`)."""
        starts = [source.documents(index, self.unit) for index in samples]
        return document_table(starts, length, reset_position_ids=self.reset_position_ids)
