"""Every layout of a configuration on a number of GPUs, ranked; and why the others are out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from aixmeg.config import Config, conflicts
from aixmeg.plan.estimate import Estimate, estimate
from aixmeg.plan.hardware import GPUS_PER_NODE, Gpu
from aixmeg.plan.layout import TRAINER_HAS, Layout, configured

_MICRO_BATCHES = (1, 2, 4, 8)
_LARGEST_PIPELINE = 16


@dataclass(frozen=True, kw_only=True)
class Found:
    """The search's result."""

    ranked: list[Estimate]
    """Layouts that fit, fastest first; of each division of the GPUs the fastest variant."""
    too_large: list[Estimate]
    """Divisions of the GPUs of which no variant fits: the smallest variant of each."""
    refused: list[str]
    """Rules that other divisions break, as sentences."""


def search(config: Config, gpus: int, gpu: Gpu) -> Found:
    """Try every layout. The global batch, the precision and all else stay as configured."""
    best: dict[tuple[int, ...], Estimate] = {}
    smallest: dict[tuple[int, ...], Estimate] = {}
    refused: dict[tuple[int, ...], list[str]] = {}
    for layout in layouts(config, gpus):
        key = (layout.tp, layout.pp, layout.chunks, layout.cp)
        problems = conflicts(configured(config, layout), gpus)
        if problems:
            refused.setdefault(key, problems)
            continue
        found = estimate(config, layout, gpu)
        if found.fits and (key not in best or found.time.seconds < best[key].time.seconds):
            best[key] = found
        if key not in smallest or found.memory.total < smallest[key].memory.total:
            smallest[key] = found
    return Found(
        ranked=sorted(best.values(), key=lambda one: one.time.seconds),
        too_large=[one for key, one in smallest.items() if key not in best],
        refused=list(dict.fromkeys(text for key in refused if key not in smallest for text in refused[key])),
    )


def layouts(config: Config, gpus: int) -> Iterator[Layout]:
    """All that the trainer has options for. Tensor parallelism stays within a node, where it is worth having; with it
    comes sequence parallelism, which costs nothing and saves activations."""
    contexts = _powers(gpus) if "context_parallel_size" in TRAINER_HAS else [1]
    for tp, pp, cp in itertools.product(_powers(min(gpus, GPUS_PER_NODE)), _powers(_LARGEST_PIPELINE), contexts):
        if gpus % (tp * pp * cp):
            continue
        for vpp, micro_batch, recompute in itertools.product(_virtual(config, pp), _MICRO_BATCHES, _recompute(config)):
            yield Layout(
                tp=tp, sp=tp > 1, pp=pp, vpp=vpp, cp=cp, dp=gpus // (tp * pp * cp), micro_batch_size=micro_batch,
                recompute="full" if recompute else "none", recompute_method="block" if recompute > 0 else "uniform",
                recompute_num_layers=max(1, recompute),
            )  # fmt: skip


def _powers(limit: int) -> list[int]:
    return [2**n for n in range(limit.bit_length()) if 2**n <= limit]


def _virtual(config: Config, pp: int) -> list[int | None]:
    """Chunks per stage that divide the layers."""
    per_stage = config.model.num_layers // pp
    return [None] if pp == 1 else [None, *(n for n in (2, 4, 8) if per_stage % n == 0)]


def _recompute(config: Config) -> list[int]:
    """0: none; -1: every layer; n: n layers of each chunk."""
    if "recompute_granularity" not in TRAINER_HAS:
        return [0]
    return [0, *sorted({config.model.num_layers // n for n in (32, 16, 8, 4, 2)} - {0}), -1]
