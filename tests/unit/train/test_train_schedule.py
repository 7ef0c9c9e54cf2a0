import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import OptimizerConfig
from aixmeg.train.schedule import learning_rate


def rates(options, steps, last):
    return [learning_rate(step, options, steps=steps) for step in range(1, last + 1)]


@pytest.mark.parametrize(("warmup", "steps"), [(1, 2), (10, 100), (7, 31)])
def test_equals_torchs_linear_and_cosine_schedulers(warmup, steps):
    options = OptimizerConfig(lr=3e-3, min_lr=2e-4, warmup_steps=warmup)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=options.lr)
    # torch counts from 0: its value after n steps is ours of update n.
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1e-12, total_iters=warmup)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup, eta_min=options.min_lr)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], [warmup])
    expected = []
    for _ in range(steps):
        optimizer.step()
        both.step()
        expected.append(optimizer.param_groups[0]["lr"])
    # 1e-9: torch updates its cosine recursively and rounds at each step.
    assert rates(options, steps, steps) == pytest.approx(expected, rel=1e-9)


def test_decay_steps_ends_the_decay_before_the_run():
    options = OptimizerConfig(lr=1.0, min_lr=0.25, warmup_steps=0, decay_steps=4)
    assert rates(options, 100, 6) == pytest.approx(
        [0.25 + 0.75 * (1 + math.sqrt(0.5)) / 2, 0.625, 0.25 + 0.75 * (1 - math.sqrt(0.5)) / 2, 0.25, 0.25, 0.25]
    )


@given(st.integers(0, 50), st.integers(1, 200), st.floats(0.0, 1.0))
def test_rises_then_falls_between_its_bounds(warmup, decay, low):
    options = OptimizerConfig(lr=1.0, min_lr=low, warmup_steps=warmup)
    values = rates(options, warmup + decay, warmup + decay + 3)
    rising, falling = values[:warmup], values[max(warmup - 1, 0) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(value > 0 for value in rising)
    assert max(values) <= 1.0
    assert values[-1] == low
