"""Held-out loss of text (next-token examples) and of middles (infilling), and completions of middles.

Shapes: `b` micro-batch, `s` sequence.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from aixmeg.data.labels import KIND_NONE
from aixmeg.data.middles import Middle
from aixmeg.data.stream import ValidDataset
from aixmeg.train.batches import Batch, make_batch
from aixmeg.train.build import Training
from aixmeg.train.documents import DocumentMask
from aixmeg.train.infill import complete, infill_scores, merged
from aixmeg.train.kinds import KINDS, means_by_kind, sums_by_kind
from aixmeg.train.step import rows_per_rank, run_schedule


@dataclass(frozen=True, kw_only=True)
class ValidBatch(Batch):
    """A micro-batch with the language of each label."""

    languages: Tensor  # [b, s] int32, numbers of `ValidDataset.languages` from 1


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What validation reads of a dataset."""

    name: str
    """Of the dataset in a blend; empty where there is no blend."""
    dataset: ValidDataset
    windows: Sequence[int]
    """The same ones in every validation."""
    middles: Sequence[Middle] = ()
    """What the model completes in every validation."""


def held_out_windows(dataset: ValidDataset, wanted: int) -> list[int]:
    """About `wanted` windows: half with next-token labels and half with middles, each spread evenly over the split.

    Middles are few tokens of long files: windows spread without regard to what they count might hold none.
    """
    found = [dataset.windows_of(kind) for kind in KINDS.values()]
    found = [windows for windows in found if len(windows)]
    chosen: set[int] = set()
    for windows in found:
        number = min(len(windows), max(1, wanted // len(found)))
        chosen.update(windows[np.arange(number) * len(windows) // number].tolist())
    return sorted(chosen)


def evaluate(training: Training, held_out: Sequence[HeldOut]) -> dict[str, Any]:
    """Mean loss in nats per token over the windows, and how well middles are completed; collective.

    Returns:
        {"ntp_loss", "middle_loss"}, None without such labels; where middles are completed, "infill_exact_match",
        "infill_edit_similarity" and "infills", their number; "languages": the same of each language that has a label or
        a middle there; "datasets": all of this for each dataset of a blend.
    """
    with _evaluation_mode(training):
        found = {one.name: _sums(training, one) for one in held_out}
        middles = [middle for one in held_out for middle in one.middles]
        written = complete(training, middles) if middles else []
    record = merged(_losses(list(found.values())), infill_scores(middles, written))
    if any(found):
        record["datasets"], at = {}, 0
        for one in held_out:
            scores = infill_scores(one.middles, written[at : at + len(one.middles)])
            record["datasets"][one.name] = merged(_losses([found[one.name]]), scores)
            at += len(one.middles)
    return record


@contextlib.contextmanager
def _evaluation_mode(training: Training) -> Iterator[None]:
    for model in training.wrapped:
        model.eval()
    try:
        yield
    finally:
        for model in training.wrapped:
            model.train()


_Sums = dict[str, Tensor]
"""[kinds, 2] float64, sum of the losses and number of labels: of all labels under "", and of each language."""


def _sums(training: Training, held_out: HeldOut) -> _Sums:
    """The sums over the windows of one dataset; collective."""
    dataset = held_out.dataset
    batches = _rank_batches(training, dataset, held_out.windows)
    with torch.no_grad():
        sums = run_schedule(training, batches, _valid_forward(len(dataset.languages)), forward_only=True)
    total = torch.zeros(1 + len(dataset.languages), len(KINDS), 2, dtype=torch.float64, device=training.device)
    if training.topology.is_last_stage and training.topology.tp_rank == 0:
        total += torch.stack([entry["sums"] for entry in sums]).sum(dim=0)
    dist.all_reduce(total)
    return dict(zip(("", *dataset.languages), total.cpu(), strict=True))


def _losses(found: Sequence[_Sums]) -> dict[str, Any]:
    """Means over the labels of some datasets, and of each language in them."""
    totals: _Sums = {}
    for sums in found:
        for name, one in sums.items():
            totals[name] = totals[name] + one if name in totals else one
    means = {name: means_by_kind(one.tolist()) for name, one in totals.items()}
    languages = {name: one for name, one in sorted(means.items()) if name and set(one.values()) != {None}}
    return {**means[""], **({"languages": languages} if languages else {})}


def _rank_batches(training: Training, dataset: ValidDataset, windows: Sequence[int]) -> list[ValidBatch]:
    """This data-parallel rank's part, filled up to whole micro-batches, equally many per rank, with uncounted rows."""
    size, topology = training.config.train.micro_batch_size, training.topology
    per_rank = rows_per_rank(training, len(windows))
    mine = list(windows[topology.dp_rank * per_rank : (topology.dp_rank + 1) * per_rank])
    rows = [(*dataset[window], dataset.languages_of(window)) for window in mine]
    tokens, kinds = dataset[windows[0]]
    rows += [(tokens, np.full_like(kinds, KIND_NONE), np.zeros(len(kinds), np.uint16))] * (per_rank - len(rows))
    batches = [_valid_batch(rows[start : start + size], training.device) for start in range(0, per_rank, size)]
    mask = DocumentMask.of(training.config.train)
    if mask is None:
        return batches
    whole = [*mine, *[windows[0]] * (per_rank - len(mine))]
    tables = [
        mask.table(dataset, whole[start : start + size], dataset.seq_length) for start in range(0, per_rank, size)
    ]
    return [dataclasses.replace(batch, documents=table) for batch, table in zip(batches, tables, strict=True)]


def _valid_batch(rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], device: torch.device) -> ValidBatch:
    tokens, kinds, languages = zip(*rows, strict=True)
    batch = make_batch(tokens, device, kinds=kinds)
    numbers = torch.from_numpy(np.stack(languages).astype(np.int32)).to(device)
    return ValidBatch(tokens=batch.tokens, labels=batch.labels, kinds=batch.kinds, languages=numbers)


def _valid_forward(languages: int) -> Any:
    """The forward step of the schedule, whose sums are [1 + languages, kinds, 2] float64."""

    def forward(batches: Iterator[ValidBatch], model: Any) -> tuple[Tensor, Any]:
        batch = next(batches)
        losses = model(batch.tokens, attention_mask=batch.documents, labels=batch.labels)  # [b, s] on the last stage

        def split(losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            assert batch.kinds is not None
            parts = [sums_by_kind(losses, batch.kinds)]
            for number in range(1, languages + 1):
                parts.append(sums_by_kind(losses, batch.kinds.where(batch.languages == number, KIND_NONE)))
            return losses.mean(), {"sums": torch.stack(parts)}

        return losses, split

    return forward
