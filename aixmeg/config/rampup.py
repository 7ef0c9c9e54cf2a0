"""Batch sizes that grow over the first samples: Megatron's `--rampup-batch-size START INCREMENT SAMPLES`.

With n = (global_batch_size - START) / INCREMENT, a step that begins when c samples have been taken has
START + INCREMENT * min(n, floor(c * n / SAMPLES)) of them. Which samples a step takes is so a function of its number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

Rampup = tuple[int, int, int]
"""Batch size of the first step, increment, samples until the global batch size is reached."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps of one batch size."""

    step: int
    """The first one, counted from 0."""
    sample: int
    """Its first sample."""
    size: int
    """Samples of each."""


@lru_cache(maxsize=8)
def stages(global_batch_size: int, rampup: Rampup | None) -> tuple[Stage, ...]:
    """All batch sizes in the order of the training; the last one stays."""
    if rampup is None:
        return (Stage(step=0, sample=0, size=global_batch_size),)
    start, increment, samples = rampup
    increments = (global_batch_size - start) // increment
    found: list[Stage] = []
    step = sample = 0
    while True:
        level = min(increments, sample * increments // samples)
        size = start + increment * level
        found.append(Stage(step=step, sample=sample, size=size))
        if level == increments:
            return tuple(found)
        missing = -(-(level + 1) * samples // increments) - sample  # until the next level
        steps = -(-missing // size)
        step, sample = step + steps, sample + steps * size


def samples_of_step(step: int, *, global_batch_size: int, rampup: Rampup | None) -> range:
    """Places, in the order of samples, of those that `step`, counted from 0, takes."""
    known = stages(global_batch_size, rampup)
    stage = known[bisect_right(known, step, key=lambda one: one.step) - 1]
    first = stage.sample + (step - stage.step) * stage.size
    return range(first, first + stage.size)


def rampup_problems(global_batch_size: int, rampup: Rampup | None, *, order: str) -> Iterator[str]:
    """Sentences on broken rules of `train.rampup_batch_size`, where samples are read in `order`."""
    if rampup is None:
        return
    start, increment, _ = rampup
    shown = f"train.rampup_batch_size={list(rampup)}"
    if min(rampup) <= 0:
        yield f"{shown}: first size, increment and samples must be positive; null begins with train.global_batch_size"
    elif start > global_batch_size:
        yield f"{shown} begins above train.global_batch_size={global_batch_size}; lower its first number"
    elif (global_batch_size - start) % increment:
        yield (
            f"{shown}: increments of {increment} do not lead from {start} to train.global_batch_size="
            f"{global_batch_size}; choose a divisor of {global_batch_size - start}"
        )
    if order != "shuffle":
        yield (
            f"{shown} needs data.packing.order=shuffle, which is {order}: rows of a batch that go on in the next one "
            "cannot become more"
        )
