"""Resuming megatron-core's distributed optimizer with torch's Adam, on any device.

Without Transformer Engine and apex megatron-core 0.16.1 runs `torch.optim.AdamW`, whose step counter lives in the
state of each parameter. Its `DistributedOptimizer` then cannot resume:

1. `sharded_state_dict()` of a fresh optimizer reads the counter of states that do not exist yet and stops;
2. loading copies every state tensor from the checkpoint, which holds no `step`, and stops;
3. `load_state_dict()` puts ONE counter tensor into every state, so that each update advances it once per parameter:
   84 instead of 6 after three resumed steps of a small model, wrong bias correction and no error.

Without the distributed optimizer,

4. a checkpoint of a fused optimizer, whose counter lies in the parameter group, has no `step` for torch's states.

`install()` wraps these methods; fused optimizers, whose counters lie in the parameter groups, only get
their first states, so that they can be saved before the first step. `check_steps` is the guard that the trainer calls
after loading.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch


@functools.cache
def install() -> None:
    """Wrap the methods, once per process."""
    from megatron.core.optimizer import distrib_optimizer

    optimizer = distrib_optimizer.DistributedOptimizer
    original_sharded, original_load = optimizer.sharded_state_dict, optimizer.load_state_dict
    original_set = optimizer._set_main_param_and_optimizer_states

    @functools.wraps(original_sharded)
    def sharded_state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.optimizer.state:
            _zero_states(self.optimizer)
        return original_sharded(self, *args, **kwargs)

    @functools.wraps(original_set)
    @torch.no_grad()  # the fp32 shards are views of parameters that require gradients
    def set_states(self: Any, model_param: Any, tensors: dict[str, Any]) -> None:
        if not _is_torch_s(self.optimizer):
            original_set(self, model_param, tensors)
            return
        group, order = self.model_param_group_index_map[model_param]
        state = self.optimizer.state[self.optimizer.param_groups[group]["params"][order]]
        original_set(self, model_param, {**tensors, "step": state["step"]})

    @functools.wraps(original_load)
    def load_state_dict(self: Any, state_dict: Any) -> None:
        original_load(self, state_dict)
        if _is_torch_s(self.optimizer):
            for state in self.optimizer.state.values():
                state["step"] = state["step"].clone()

    optimizer.sharded_state_dict = sharded_state_dict
    optimizer._set_main_param_and_optimizer_states = set_states
    optimizer.load_state_dict = load_state_dict
    torch.optim.Adam.__setstate__ = _with_counters(torch.optim.Adam.__setstate__)  # type: ignore[method-assign] (AdamW's too)


def _with_counters(original: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any, dict[str, Any]], None]:
    """`torch.optim.Adam.__setstate__` that gives states without a counter that of their group."""

    @functools.wraps(original)
    def set_state(self: Any, state: dict[str, Any]) -> None:
        for group in state.get("param_groups", ()):
            states = [state["state"][param] for param in group["params"] if param in state["state"]]
            missing = [one for one in states if one and "step" not in one]
            if missing and "step" in group:
                counted = float(group.pop("step"))
                for one in missing:
                    one["step"] = torch.tensor(counted)
        original(self, state)

    return set_state


def _is_torch_s(optimizer: Any) -> bool:
    return isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW))


def _zero_states(optimizer: Any) -> None:
    """Adam's states before its first step, be it torch's or a fused one."""
    fused = getattr(optimizer, "initialize_state", None)
    for group in optimizer.param_groups:
        if fused is not None and group["params"]:
            group.setdefault("step", 0)
        for param in group["params"]:
            if fused is not None:
                fused(param, False)
                continue
            optimizer.state[param] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(param),
                "exp_avg_sq": torch.zeros_like(param),
            }


def step_counters(optimizer: Any) -> list[torch.Tensor]:
    """The step counters of a megatron-core optimizer: torch's Adam has a tensor per state, a fused one a number per
    group that has parameters.
    """
    inner = [part.optimizer for part in getattr(optimizer, "chained_optimizers", [optimizer])]
    states = [state for part in inner for state in part.state.values()]
    groups = [group for part in inner for group in getattr(part, "param_groups", []) if group["params"]]
    found = [state["step"] for state in states if isinstance(state.get("step"), torch.Tensor)]
    return found or [torch.tensor(float(group["step"])) for group in groups if "step" in group]


def check_steps(optimizer: Any, expected: int) -> None:
    """Refuse an optimizer whose counters are shared or differ from `expected` steps taken.

    Raises:
        RuntimeError: the counters are wrong; training on would use a wrong bias correction without a sign of it.
    """
    counters = step_counters(optimizer)
    wrong = sorted({counter.item() for counter in counters} - {float(expected)})
    if wrong:
        raise RuntimeError(
            f"the optimizer counts {wrong} steps after loading step {expected}; the checkpoint is broken"
        )
    if len({counter.data_ptr() for counter in counters}) < len(counters):
        raise RuntimeError(
            "parameters share one Adam step counter, so each step would count once per parameter; "
            "aixmeg.parallel.adam_resume.install() must run before the optimizer is loaded"
        )
