import random

import pytest

from aixmeg.config import HealthConfig
from aixmeg.train.health import Health, spike_limit

RULE = HealthConfig(window=8, loss_spike=5.0, grad_norm_spike=10.0)
QUIET = [(2.0 + 0.01 * (i % 3), 1.0 + 0.1 * (i % 3)) for i in range(8)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_broken_from_the_first_step_on(value):
    assert Health(RULE).judge(loss=value, grad_norm=1.0) == f"the loss is {value}"
    assert Health(RULE).judge(loss=1.0, grad_norm=value) == f"the gradient norm is {value}"


def test_the_limit_is_median_plus_deviations():
    # Sorted: 1 2 3 4 100, median 3; distances 2 1 0 1 97, median 1: the outlier moves neither.
    assert spike_limit([1.0, 100.0, 3.0, 2.0, 4.0], 5.0) == 3.0 + 5.0 * 1.0
    assert spike_limit([2.0] * 5, 5.0) == 2.0 + 5.0 * 0.002  # a thousandth of the median where nothing varies


def test_a_spike_is_seen_and_forgotten():
    health = Health(RULE, QUIET)
    limit = spike_limit([loss for loss, _ in QUIET], 5.0)
    assert health.judge(loss=limit, grad_norm=1.0) is None
    health = Health(RULE, QUIET)
    assert "the loss 2.5 is above" in health.judge(loss=2.5, grad_norm=1.0)
    assert health.state() == QUIET  # a broken step is no measure for the next one
    assert "the gradient norm 30 is above" in health.judge(loss=2.0, grad_norm=30.0)
    assert health.judge(loss=0.1, grad_norm=0.01) is None  # to fall is no fault


def test_spikes_need_a_full_window_and_a_factor():
    assert Health(RULE, QUIET[:7]).judge(loss=50.0, grad_norm=50.0) is None
    off = HealthConfig(window=8, loss_spike=0.0, grad_norm_spike=0.0)
    assert Health(off, QUIET).judge(loss=50.0, grad_norm=50.0) is None


def test_a_restart_judges_the_same():
    generator = random.Random(3)
    rule = HealthConfig(window=32, loss_spike=20.0)
    whole, part, found = Health(rule), Health(rule), []
    for step in range(200):
        loss, norm = 2.0 + generator.gauss(0, 0.02), 1.0 + abs(generator.gauss(0, 0.3))
        if step % 37 == 36:
            loss = 9.0
        first = whole.judge(loss=loss, grad_norm=norm)
        assert part.judge(loss=loss, grad_norm=norm) == first
        found.append(first is not None)
        if step % 23 == 0:
            part = Health(rule, [list(pair) for pair in part.state()])
    assert [step for step, broken in enumerate(found) if broken] == [36, 73, 110, 147, 184]


def test_the_default_rule_lets_a_steep_start_and_noise_pass():
    generator = random.Random(4)
    health = Health(HealthConfig())
    for step in range(3000):
        loss = 2.0 + 8.0 / (1 + step / 20) + generator.gauss(0, 0.05)
        assert health.judge(loss=loss, grad_norm=generator.lognormvariate(0, 1)) is None


@pytest.mark.parametrize("options", [{"window": 3}, {"loss_spike": -1.0}, {"max_rollbacks": -1}])
def test_impossible_rules_are_refused(options):
    ((name, value),) = options.items()
    (problem,) = HealthConfig(**options).problems("health")
    assert f"health.{name}={value}" in problem
