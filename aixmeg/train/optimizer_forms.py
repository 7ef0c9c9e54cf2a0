"""Going on with the distributed optimizer from a checkpoint of the plain one, and the other way.

megatron-core's two optimizers keep the same numbers under other names. Adam's moments have one key in both,
`optimizer.state.exp_avg.<weight>`; the float32 master weights are `…param.<weight>` in the distributed one, and in the
plain one `…fp32_param.<weight>` in bf16 and the weights themselves in float32. The count of steps is with each group of
parameters in one, beside the states in the other. So a load request is written in the names of the checkpoint, and what
was loaded is put in the order that the optimizer at hand reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

State = dict[str, Any]

_DISTRIBUTED, _PLAIN, _MOMENT = "optimizer.state.param.", "optimizer.state.fp32_param.", "optimizer.state.exp_avg."


@dataclass(frozen=True, kw_only=True)
class OtherForm:
    """A checkpoint whose optimizer is the other one than that at hand."""

    distributed: bool
    """The checkpoint's is the distributed one, that at hand the plain one."""
    float32: bool
    """The training is in float32, so that weights are their own master copies."""

    def rename(self, request: State) -> None:
        """Ask for the states by the checkpoint's keys; changes `request`, a `training_state`."""
        wanted = request["optimizer"]
        if self.distributed:
            for group in [] if self.float32 else wanted["fp32_from_fp16_params"]:
                group[:] = [_renamed(shard, _PLAIN, _DISTRIBUTED) for shard in group]
            return
        for state in wanted["param_state"].values():
            master = state.pop("param")  # in float32 it is the weight, and megatron-core loads no key twice
            if not self.float32:
                state["param"] = _renamed(master, _DISTRIBUTED, _PLAIN)

    def rearrange(self, loaded: State, request: State) -> None:
        """Make `loaded` what the optimizer at hand reads; `request` is the renamed one that it answers."""
        found = loaded["optimizer"]
        if not self.distributed:
            loaded["optimizer"] = self._as_distributed(loaded, request)
        elif self.float32:  # the plain one's groups are a level higher, and only it knows which parameters they have
            stored = found.pop("optimizer")["param_groups"]
            pairs = zip(stored, found["param_groups"], strict=True)
            found["param_groups"] = [group | own for group, own in pairs]

    def _as_distributed(self, loaded: State, request: State) -> State:
        found, wanted = loaded["optimizer"], request["optimizer"]
        inner = found if self.float32 else found["optimizer"]
        step = inner.get("state", {}).get("common_step")
        counted = {} if step is None else {"step": int(step)}  # a fused optimizer counts in its groups, in both forms
        states: dict[int, State] = found["param_state"]
        if self.float32:
            weights = _weights(loaded, request)
            for index, state in states.items():
                state["param"] = weights[_place(wanted["param_state"][index]["exp_avg"])]
        return {
            "optimizer": {"param_groups": [{**group, **counted} for group in inner["param_groups"]]},
            "param_state": states,
            "param_state_sharding_type": wanted["param_state_sharding_type"],
        }


def _weights(loaded: State, request: State) -> dict[tuple[Any, ...], Any]:
    """Loaded weights by `_place`."""
    chunks = [name for name in request if name.startswith("model")]
    return {
        _place(shard): loaded[chunk][name] for chunk in chunks for name, shard in request[chunk].items()
        if name in loaded[chunk]
    }  # fmt: skip


def _place(shard: Any) -> tuple[Any, ...]:
    """What a weight and its moment have in common: layers share a key, and differ in offset or in what makes them."""
    return shard.key.removeprefix(_MOMENT), getattr(shard, "global_offset", None), getattr(shard, "build_fn", None)


def _renamed(shard: Any, old: str, new: str) -> Any:
    return replace(shard, key=new + shard.key.removeprefix(old))
