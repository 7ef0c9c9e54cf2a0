"""Learning rate as a pure function of the step: linear warmup, then cosine decay.

With peak `lr`, warmup `w` and end `d`, step n (the n-th update, counted from 1) uses

    n <= w:        lr * n / w
    w < n < d:     min_lr + (lr - min_lr) * (1 + cos(pi * (n - w) / (d - w))) / 2
    n >= d:        min_lr

The first update is already above zero: a learning rate of exactly zero would waste it.
"""

from __future__ import annotations

import math

from aixmeg.config import OptimizerConfig


def learning_rate(step: int, optimizer: OptimizerConfig, *, steps: int) -> float:
    """Learning rate of update `step`, counted from 1; `steps` ends the decay when `decay_steps` is null."""
    end = steps if optimizer.decay_steps is None else optimizer.decay_steps
    warmup = optimizer.warmup_steps
    if step <= warmup:
        return optimizer.lr * step / warmup
    if step >= end:
        return optimizer.min_lr
    progress = (step - warmup) / (end - warmup)
    return optimizer.min_lr + (optimizer.lr - optimizer.min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))
