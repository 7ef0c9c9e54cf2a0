"""Adam over csrc's kernels under the names that megatron-core takes from Transformer Engine or apex.

`FusedAdam` has their constructor and their state: `exp_avg`, `exp_avg_sq` and, with `master_weights`, `master_param`
of every parameter, and `step` of every parameter group. The functions have the signatures of apex's `amp_C`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops.optimizer import multi_tensor_adamw, multi_tensor_l2_norm
from aixmeg.ops.optimizer import multi_tensor_scale as scale_tensors

Lists = list[list[Tensor]]


class FusedAdam(torch.optim.Optimizer):
    """AdamW (or Adam with L2) that updates all parameters of a group in one kernel."""

    def __init__(  # noqa: PLR0917 - the signature that callers of apex and Transformer Engine use
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        adam_w_mode: bool = True,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        set_grad_none: bool = True,
        capturable: bool = False,
        master_weights: bool = False,
        master_weight_dtype: torch.dtype = torch.float32,
        exp_avg_dtype: torch.dtype = torch.float32,
        exp_avg_sq_dtype: torch.dtype = torch.float32,
        use_decoupled_grad: bool = False,
        store_param_remainders: bool = False,
    ) -> None:
        """Create the optimizer; states are made at the first step.

        Args:
            params: float32 parameters, or groups of them; with `master_weights` also bfloat16 ones.
            lr: learning rate, as every option of a group changeable between steps.
            bias_correction: divide the moments by 1 - beta^step.
            betas: decay of the two moments.
            eps: added to the root of the second moment.
            adam_w_mode: decay shrinks the weights; False adds it to the gradient.
            weight_decay: a group's own value goes before this one.
            amsgrad: not offered.
            set_grad_none: `zero_grad` drops gradients instead of zeroing them.
            capturable: not offered; the number of the step is known on the host.
            master_weights: hold a float32 copy of every parameter; the bfloat16 one is written in the same pass.
            master_weight_dtype: float32 only.
            exp_avg_dtype: float32 or bfloat16.
            exp_avg_sq_dtype: float32 or bfloat16.
            use_decoupled_grad: read `decoupled_grad` instead of `grad`, whose dtype may then differ from the weight's.
            store_param_remainders: not offered.

        Raises:
            UserError: an option that is not offered.
        """
        refused = {"amsgrad": amsgrad, "capturable": capturable, "store_param_remainders": store_param_remainders}
        asked = [name for name, value in refused.items() if value]
        if asked:
            raise UserError(f"FusedAdam: {', '.join(asked)} is not offered; leave it False, or use torch.optim.AdamW")
        if master_weight_dtype != torch.float32:
            raise UserError(f"FusedAdam: master_weight_dtype={master_weight_dtype} must be torch.float32")
        self.adam_w_mode, self.set_grad_none = adam_w_mode, set_grad_none
        self.master_weights, self.use_decoupled_grad = master_weights, use_decoupled_grad
        self.state_dtypes = {
            "exp_avg": exp_avg_dtype, "exp_avg_sq": exp_avg_sq_dtype, "master_param": torch.float32
        }  # fmt: skip
        defaults = {
            "lr": lr, "bias_correction": bias_correction, "betas": betas, "eps": eps, "weight_decay": weight_decay
        }  # fmt: skip
        super().__init__(params, defaults)

    def zero_grad(self, set_to_none: bool | None = None) -> None:
        """Drop the gradients, decoupled ones too, or zero them where `set_grad_none` is False."""
        drop = self.set_grad_none if set_to_none is None else set_to_none
        if self.use_decoupled_grad and drop:
            for group in self.param_groups:
                for param in group["params"]:
                    param.decoupled_grad = None
        super().zero_grad(drop)

    def initialize_state(self, param: Tensor, store_param_remainders: bool = False) -> None:
        """Make the states that `param` has before its first step."""
        state = self.state[param]
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = torch.zeros_like(
                param, dtype=self.state_dtypes[name], memory_format=torch.contiguous_format, requires_grad=False
            )
        if self.master_weights:
            state["master_param"] = _master(param)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Raises:
            UserError: a parameter, gradient or state that the kernels do not take.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if not group["params"]:  # as in Transformer Engine, which megatron-core allows for
                continue
            group["step"] = group.get("step", 0) + 1
            for bucket in self._buckets(group["params"]):
                multi_tensor_adamw(
                    bucket["param"], bucket["grad"], bucket["exp_avg"], bucket["exp_avg_sq"], copies=bucket["copy"],
                    lr=float(group["lr"]), betas=group["betas"], eps=group["eps"], weight_decay=group["weight_decay"],
                    step=group["step"], bias_correction=group["bias_correction"], decoupled=self.adam_w_mode,
                )  # fmt: skip
        return loss

    def _buckets(self, params: list[Tensor]) -> Iterable[dict[str, list[Tensor]]]:
        """The lists of one kernel call each: equal dtypes and devices, with a bfloat16 copy or without."""
        buckets: dict[Any, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))
        for param in params:
            grad = getattr(param, "decoupled_grad", None) if self.use_decoupled_grad else param.grad
            if grad is None:
                continue
            if grad.is_sparse:
                raise UserError("FusedAdam: a gradient is sparse; use torch.optim.SparseAdam")
            copied = param.dtype == torch.bfloat16
            if copied and not self.master_weights:
                raise UserError(
                    "FusedAdam: a parameter is torch.bfloat16, whose steps would round to nothing; "
                    "set master_weights=True"
                )
            state = self.state[param]
            if not state:
                self.initialize_state(param)
            bucket = buckets[grad.dtype, grad.device, copied, state["exp_avg"].dtype, state["exp_avg_sq"].dtype]
            bucket["param"].append(state["master_param"] if self.master_weights else param)
            bucket["grad"].append(grad)
            bucket["exp_avg"].append(state["exp_avg"])
            bucket["exp_avg_sq"].append(state["exp_avg_sq"])
            bucket["copy"] += [param] if copied else []
        return buckets.values()

    def get_unscaled_state(self, param: Tensor, name: str) -> Tensor:
        """A state in float32, itself where it is that; Transformer Engine's name, whose states may be scaled."""
        return self.state[param][name].float()

    def set_scaled_state(self, param: Tensor, name: str, value: Tensor) -> None:
        """Overwrite a state, rounded to its dtype."""
        if not self.state[param]:
            self.initialize_state(param)
        self.state[param][name].copy_(value)

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state, of this class or of torch's AdamW.

        torch would cast every state to the parameter's dtype; here each keeps its own.
        """
        super().load_state_dict(state_dict)
        for group, saved_group in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.setdefault("bias_correction", True)
            steps = set()
            for param, key in zip(group["params"], saved_group["params"], strict=True):
                saved = state_dict["state"].get(key)
                if not saved:
                    continue
                if "step" in saved:  # torch counts in every parameter's state
                    steps.add(int(saved["step"]))
                self.state[param] = {
                    name: self._loaded(param, name, value) for name, value in saved.items() if name != "step"
                }
            if len(steps) > 1:
                raise UserError(f"FusedAdam: parameters of one group were saved at steps {sorted(steps)}")
            if steps or "step" in group:
                group["step"] = steps.pop() if steps else int(group["step"])

    def _loaded(self, param: Tensor, name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if name == "master_param" and param.dtype == torch.float32:
            master = _master(param)
            master.copy_(value)
            return master
        return value.detach().to(device=param.device, dtype=self.state_dtypes.get(name, value.dtype))


def _master(param: Tensor) -> Tensor:
    """The float32 weights: a copy, or the parameter's own memory where it is float32 already."""
    return param.detach() if param.dtype == torch.float32 else param.detach().float().contiguous()


# The functions of apex's amp_C, which megatron-core's clipping and copying call.


def multi_tensor_applier(op: Callable[..., Any], noop_flag: Tensor, tensor_lists: Lists, *arguments: Any) -> Any:
    """Call `op` as apex's class of that name does; our ops choose their own chunks."""
    return op(0, noop_flag, tensor_lists, *arguments)


def multi_tensor_l2norm(
    chunk_size: int, noop_flag: Tensor, tensor_lists: Lists, per_tensor: bool = False
) -> tuple[Tensor, Tensor]:
    """Norm of all tensors of the first list [1], and of each [n] where asked for; dtypes may mix."""
    tensors = tensor_lists[0]
    if len({tensor.dtype for tensor in tensors}) <= 1:
        return multi_tensor_l2_norm(tensors, per_tensor=per_tensor)
    norms = torch.empty(len(tensors), device=tensors[0].device)
    for indices in _by_kind(tensor.dtype for tensor in tensors):
        norms[indices] = multi_tensor_l2_norm([tensors[i] for i in indices], per_tensor=True)[1]
    return multi_tensor_l2_norm([norms])[0], norms if per_tensor else norms[:0]


def multi_tensor_scale(chunk_size: int, noop_flag: Tensor, tensor_lists: Lists, scale: float) -> None:
    """Second list = first list · scale; `noop_flag` becomes 1 where a result is not finite; dtypes may mix."""
    sources, targets = tensor_lists
    for indices in _by_kind((source.dtype, target.dtype) for source, target in zip(sources, targets, strict=True)):
        scale_tensors([sources[i] for i in indices], [targets[i] for i in indices], float(scale), noop_flag)


def _by_kind(kinds: Iterable[Any]) -> Iterable[list[int]]:
    """Positions of equal kinds."""
    found: dict[Any, list[int]] = defaultdict(list)
    for index, kind in enumerate(kinds):
        found[kind].append(index)
    return found.values()
