"""Which samples a step trains on, and the micro-batches that a rank gets.

Steps take the samples in the dataset's own order, global_batch_size each, or fewer at first where batch sizes ramp up
(`aixmeg.config.rampup`). Data-parallel rank r takes the r-th contiguous part, in micro-batches. So the samples of a
step, and their order, depend on these options alone: another layout or micro-batch size trains on the same data.

Shapes: `b` micro-batch, `s` sequence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from aixmeg.config import TrainConfig
from aixmeg.config.rampup import samples_of_step
from aixmeg.parallel.context import local_part
from aixmeg.train.documents import DocumentMask, Source


class Samples(Source, Protocol):
    """What training needs of a dataset: sample i as seq_length + 1 token ids."""

    def __getitem__(self, index: int, /) -> np.ndarray:
        """Sample `index`, counted over all epochs."""
        ...

    def filled(self, index: int, /) -> int:
        """How many of its tokens, from the first, are not padding."""
        ...

    def kinds(self, index: int, /) -> np.ndarray:
        """What each of its labels is, uint8 (`aixmeg.data.labels`)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One micro-batch on the rank's device."""

    tokens: Tensor  # [b, s] int64
    labels: Tensor  # [b, s] int64, the next token of each position
    counted: Tensor | None = None  # [b, s] bool, False for padding; None when all labels count
    kinds: Tensor | None = None  # [b, s] uint8, what each label is; None where nothing asks
    documents: Tensor | None = dataclasses.field(default=None, metadata={"whole": True})
    """Of whole sequences, on the host (`aixmeg.model.documents`); None where attention crosses documents."""
    share: float = 1.0
    """What the mean over this micro-batch's counted labels weighs in the step, times the number of micro-batches: 1
    where all hold equally many."""
    whole: int | None = None
    """Counted labels of the whole micro-batch, where this rank holds a part of each sequence; None where it holds all
    of them."""

    def mean(self, losses: Tensor) -> Tensor:
        """This rank's part of the mean loss over the counted labels, weighed by `share`: losses `[b, s]` → scalar."""
        if self.counted is None:
            return losses.mean() if self.whole is None else losses.sum() / self.whole
        kept = losses[self.counted]
        return kept.sum() / max(kept.numel() if self.whole is None else self.whole, 1) * self.share

    def part(self, *, rank: int, size: int) -> Self:
        """What a context-parallel rank holds of the micro-batch: some tokens of every sequence."""
        if size == 1:
            return self
        cut = {
            field.name: local_part(value, 1, rank=rank, size=size)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor) and not field.metadata.get("whole")
        }
        whole = self.labels.numel() if self.counted is None else int(self.counted.sum())
        return dataclasses.replace(self, **cut, whole=whole)


def step_samples(step: int, train: TrainConfig) -> range:
    """Global sample indices of `step`, counted from 0."""
    return samples_of_step(step, global_batch_size=train.global_batch_size, rampup=train.rampup_batch_size)


def rank_samples(samples: Sequence[int], *, dp_rank: int, dp_size: int) -> Sequence[int]:
    """The contiguous part of `samples` that one data-parallel rank trains on; their number must divide evenly."""
    share = len(samples) // dp_size
    return samples[dp_rank * share : (dp_rank + 1) * share]


def make_batch(rows: Sequence[np.ndarray], device: torch.device, *, kinds: Sequence[np.ndarray] | None = None) -> Batch:
    """Stack samples of seq_length + 1 tokens into inputs and next-token labels, and what their labels are."""
    ids = torch.from_numpy(np.stack(rows)).to(device)  # [b, s + 1]
    known = None if kinds is None else torch.from_numpy(np.stack(kinds)).to(device)
    return Batch(tokens=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous(), kinds=known)


def micro_batches(
    dataset: Samples,
    samples: Sequence[int],
    *,
    micro_batch_size: int,
    device: torch.device,
    step: Sequence[int] | None = None,
    mask: DocumentMask | None = None,
) -> Iterator[Batch]:
    """The micro-batches of one rank and step, in order.

    Args:
        dataset: what is trained on.
        samples: of this rank.
        micro_batch_size: b.
        device: where the tensors go.
        step: the samples of all ranks, over which labels are counted; None means `samples`.
        mask: which documents attention keeps apart; None for none.
    """
    step = samples if step is None else step
    lengths = np.array([dataset.filled(index) for index in step])
    for start in range(0, len(samples), micro_batch_size):
        chosen = samples[start : start + micro_batch_size]
        kinds = [dataset.kinds(index) for index in chosen]
        batch = make_batch([dataset[index] for index in chosen], device, kinds=kinds)
        width = batch.labels.shape[1]
        if mask is not None:
            batch = dataclasses.replace(batch, documents=mask.table(dataset, chosen, width))
        if (lengths == width + 1).all():
            yield batch
            continue
        mine = torch.tensor([dataset.filled(index) for index in chosen], device=device)
        counted = torch.arange(1, width + 1, device=device) < mine[:, None]  # [b, s]
        here, everywhere = int(counted.sum()), int(np.maximum(lengths - 1, 0).sum())
        share = here * len(step) / (everywhere * len(chosen)) if everywhere else 0.0
        yield dataclasses.replace(batch, counted=counted, share=share)
