"""The step counters of torch's Adam inside megatron-core's optimizers; a real resume is in tests/dist."""

from types import SimpleNamespace

import pytest
import torch

from aixmeg.parallel.adam_resume import check_steps, step_counters


def optimizer(*steps: torch.Tensor):
    return SimpleNamespace(optimizer=SimpleNamespace(state={i: {"step": step} for i, step in enumerate(steps)}))


def test_right_counters_pass():
    check_steps(optimizer(torch.tensor(3.0), torch.tensor(3.0)), 3)
    check_steps(SimpleNamespace(chained_optimizers=[optimizer(torch.tensor(3.0)), optimizer(torch.tensor(3.0))]), 3)


def test_fused_optimizers_have_none():
    fused = SimpleNamespace(optimizer=SimpleNamespace(state={0: {"exp_avg": torch.zeros(1)}}))
    assert step_counters(fused) == []
    check_steps(fused, 3)


def test_shared_counter_is_refused():
    shared = torch.tensor(3.0)
    with pytest.raises(RuntimeError, match="share one Adam step counter"):
        check_steps(optimizer(shared, shared), 3)


def test_wrong_count_is_refused():
    with pytest.raises(RuntimeError, match=r"counts \[84\.0\] steps after loading step 6"):
        check_steps(optimizer(torch.tensor(84.0), torch.tensor(6.0)), 6)
