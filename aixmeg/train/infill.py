"""Held-out middles completed greedily while training: exact match and edit similarity on token ids.

A token costs a forward pass of all prompts, since nothing is cached: it goes through the schedule that validation goes
through, and so works in every layout that trains. Rows are whole examples, so documents need no mask.

Legend: `b` micro-batch, `s` sequence, `v` vocabulary, `tp` tensor ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from aixmeg.data.middles import Middle
from aixmeg.subsequence import similarity
from aixmeg.train.batches import Batch
from aixmeg.train.build import Training
from aixmeg.train.step import rows_per_rank, run_schedule

_MULTIPLE: Final = 32
"""Of the rows' length, for each tensor and context rank: their cuts are even, and FP8 wants sixteens."""


@dataclass(frozen=True, kw_only=True)
class _Prompts(Batch):
    """A micro-batch of texts that go on."""

    wanted: Tensor  # [b, s] bool, True at the last token of each text
    rows: Tensor = field(metadata={"whole": True})  # [b] int64, places of the texts


def complete(training: Training, middles: Sequence[Middle]) -> list[list[int]]:
    """Up to `train.eval_infill_tokens` ids that the model writes for each middle, without what closes it; collective.

    Every rank returns the same; `training.wrapped` must be in evaluation mode. No random number is drawn.
    """
    texts, done = [list(middle.prompt) for middle in middles], [False] * len(middles)
    for _ in range(training.config.train.eval_infill_tokens):
        for place, (chosen, middle) in enumerate(zip(_next(training, texts), middles, strict=True)):
            done[place] = done[place] or chosen == middle.end
            if not done[place]:
                texts[place].append(chosen)
        if all(done):
            break
    return [text[len(middle.prompt) :] for text, middle in zip(texts, middles, strict=True)]


def infill_scores(middles: Sequence[Middle], completions: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Mean scores between 0 and 1, and the number of middles; "languages": the same of each. Empty without middles.

    A completion matches if its ids are the middle's; since middles are shorter than completions may be, it has then
    ended where the middle ends. Similarity is 2 · common subsequence / lengths, of ids.
    """
    pairs = [(one.language, list(one.tokens), list(ids)) for one, ids in zip(middles, completions, strict=True)]
    if not pairs:
        return {}
    names = sorted({name for name, _, _ in pairs if name})
    languages = {name: _means([pair for pair in pairs if pair[0] == name]) for name in names}
    return _means(pairs) | ({"languages": languages} if languages else {})


def merged(record: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both records' fields, those of parts (languages, datasets) beside each other."""
    both = {
        name: merged(record[name], other[name])
        for name in record.keys() & other.keys()
        if isinstance(record[name], Mapping) and isinstance(other[name], Mapping)
    }
    return {**record, **other, **both}


def _means(pairs: Sequence[tuple[str, list[int], list[int]]]) -> dict[str, Any]:
    return {
        "infill_exact_match": sum(ours == theirs for _, theirs, ours in pairs) / len(pairs),
        "infill_edit_similarity": sum(similarity(ours, theirs) for _, theirs, ours in pairs) / len(pairs),
        "infills": len(pairs),
    }


def _next(training: Training, texts: Sequence[Sequence[int]]) -> list[int]:
    """The likeliest id behind each text; collective."""
    batches = _rank_batches(training, texts)
    with torch.no_grad():
        found = run_schedule(
            training, batches, _forward(training), forward_only=True, seq_length=batches[0].tokens.shape[1]
        )
    table = torch.zeros(len(texts) + 1, dtype=torch.int64, device=training.device)  # the last entry: rows that fill up
    if training.topology.is_last_stage and training.topology.tp_rank == 0:
        for entry in found:
            table.index_add_(0, entry["rows"], entry["ids"])
    dist.all_reduce(table)  # each text has its last token on one data and context rank
    return table[:-1].tolist()


def _rank_batches(training: Training, texts: Sequence[Sequence[int]]) -> list[_Prompts]:
    """This data-parallel rank's part of the texts in rows of one length, filled up to equally many micro-batches."""
    size, topology = training.config.train.micro_batch_size, training.topology
    multiple = _MULTIPLE * topology.tp_size * topology.cp_size
    length = min(math.ceil(max(map(len, texts)) / multiple) * multiple, training.config.model.seq_length)
    per_rank = rows_per_rank(training, len(texts))
    tokens = torch.zeros(per_rank, length, dtype=torch.int64)
    wanted, rows = torch.zeros(per_rank, length, dtype=torch.bool), torch.full((per_rank,), len(texts))
    first = topology.dp_rank * per_rank
    for row, text in enumerate(texts[first : first + per_rank]):
        tokens[row, : len(text)] = torch.tensor(text)
        wanted[row, len(text) - 1], rows[row] = True, first + row
    tokens, wanted, rows = (tensor.to(training.device) for tensor in (tokens, wanted, rows))
    return [
        _Prompts(tokens=some, labels=some, wanted=last, rows=places)
        for some, last, places in zip(tokens.split(size), wanted.split(size), rows.split(size), strict=True)
    ]


def _forward(training: Training) -> Any:
    """The forward step of the schedule, which reports `rows` [b] and the `ids` [b] behind them."""
    group = training.topology.tp_group

    def forward(batches: Iterator[_Prompts], model: Any) -> tuple[Tensor, Any]:
        batch = next(batches)
        logits = model(batch.tokens, attention_mask=None)  # [b, s, v / tp] on the last stage

        def pick(logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            place = batch.wanted.int().argmax(dim=1)  # [b]
            behind = logits[torch.arange(len(place), device=place.device), place]  # [b, v / tp]
            ids = _likeliest(behind.float(), group).where(batch.wanted.any(dim=1), 0)
            return behind.new_zeros((), dtype=torch.float32), {"rows": batch.rows, "ids": ids}

        return logits, pick

    return forward


def _likeliest(logits: Tensor, group: ProcessGroup) -> Tensor:
    """Ids [b] of the largest logits, the lowest id of equal ones; `logits` [b, v / tp] are this tensor rank's part."""
    best, ids = logits.max(dim=1)
    if group.size() == 1:
        return ids
    ids = ids + group.rank() * logits.shape[1]
    all_best = [torch.empty_like(best) for _ in range(group.size())]
    all_ids = [torch.empty_like(ids) for _ in range(group.size())]
    dist.all_gather(all_best, best, group=group)
    dist.all_gather(all_ids, ids, group=group)
    rank = torch.stack(all_best).argmax(dim=0, keepdim=True)  # [1, b]
    return torch.stack(all_ids).gather(0, rank)[0]
