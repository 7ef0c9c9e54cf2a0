"""How the operands of an FP8 linear get their scales: the recipes, delayed scaling's state, the matrix product.

Legend: `m` tokens, `k` input features, `n` output features; an operand is a matrix [m, k], [n, k] or [m, n].
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from megatron.core.utils import make_sharded_tensor_for_checkpoint
from torch import Tensor
from torch.distributed import ProcessGroup

from aixmeg.errors import UserError
from aixmeg.model.fp8_weights import Axis, forget_weights
from aixmeg.ops.fp8 import E4M3, E5M2, fp8_amax, fp8_scale, fp8_update_history

_scaled_mm: Callable[..., Tensor] = torch._scaled_mm  # type: ignore[attr-defined] (what torch's own float8 uses)


@dataclass(frozen=True, kw_only=True)
class Fp8Options:
    """What `model.fp8…` of the configuration says to a native FP8 linear."""

    recipe: Literal["delayed", "tensorwise", "rowwise"]
    hybrid: bool = True
    """Gradients in e5m2; False: in e4m3 too."""
    margin: int = 0
    """Powers of two to stay below the format's largest value."""
    amax_history_len: int = 16
    """Steps whose largest magnitudes delayed scaling looks back on."""
    keep_weights: bool = False
    """Quantise the weight once per step and hold both layouts, 2 bytes per weight."""

    def dtype(self, operand: Operand) -> torch.dtype:
        """The format of an operand."""
        return E5M2 if self.hybrid and operand is Operand.GRADIENT else E4M3


class Operand(enum.IntEnum):
    """The three matrices of a linear layer; the value is the place in delayed scaling's state."""

    INPUT = 0
    WEIGHT = 1
    GRADIENT = 2


class DelayedScaling(torch.nn.Module):
    """The largest magnitudes of the last steps of one linear's three operands, and the scales that follow from them.

    Scales are constant within a step: micro-batches, recomputed activations and pipeline stages all see the same.
    Before the first update there is no history, and the layer scales by the current magnitudes.
    """

    history: Tensor
    amax: Tensor
    scale: Tensor
    scale_inv: Tensor
    e5m2: Tensor
    updates: Tensor
    _SAVED = ("history", "scale", "scale_inv", "updates")

    def __init__(self, options: Fp8Options, device: torch.device | str | int | None) -> None:
        super().__init__()
        self.margin = options.margin
        count = len(Operand)
        self.register_buffer("history", torch.zeros(count, options.amax_history_len, device=device))
        self.register_buffer("scale", torch.ones(count, device=device))
        self.register_buffer("scale_inv", torch.ones(count, device=device))
        # On the CPU: asking a GPU for it would wait for the GPU.
        self.register_buffer("updates", torch.zeros(1, dtype=torch.int64, device="cpu"))
        # This step's, empty between steps: nothing to save.
        self.register_buffer("amax", torch.zeros(count, device=device), persistent=False)
        formats = [options.dtype(operand) == E5M2 for operand in Operand]
        self.register_buffer("e5m2", torch.tensor(formats, device=device), persistent=False)

    @property
    def ready(self) -> bool:
        """Whether a step has been seen."""
        return int(self.updates) > 0

    def update(self) -> None:
        """Take this step's `amax`, the same on all ranks by now, into the history."""
        step = int(self.updates)
        fp8_update_history(
            self.history, self.amax, self.scale, self.scale_inv, self.e5m2, step=step, margin=self.margin
        )
        self.updates += 1

    def sharded(self, prefix: str, offsets: tuple, tp_group: Any, dp_cp_group: Any) -> dict[str, Any]:
        """Entries of a sharded state dict. Each layer has keys of its own, for others may be kept in bf16.

        Args:
            prefix: this module's, ending in a dot.
            offsets: megatron-core's sharding offsets, of which the first is the layer's place, if there are any.
            tp_group: ranks that hold the same copy.
            dp_cp_group: ranks that hold the same copy.
        """
        place = f"{offsets[0][1]}." if offsets else ""
        return {
            prefix + name: make_sharded_tensor_for_checkpoint(
                getattr(self, name), f"{prefix}{place}{name}", tp_group=tp_group, dp_cp_group=dp_cp_group
            )
            for name in self._SAVED
        }


def update_scales(models: Sequence[torch.nn.Module], group: ProcessGroup | None = None) -> None:
    """End a step of delayed scaling: every rank of `group` gets the largest magnitude of all; collective.

    Nothing happens where no layer scales with delay.

    Args:
        models: this rank's model chunks, in the same order on every rank.
        group: all tensor-, data- and context-parallel ranks of a pipeline stage; None for a single rank.
    """
    states = [module for model in models for module in model.modules() if isinstance(module, DelayedScaling)]
    if not states:
        return
    everything = torch.stack([state.amax for state in states])  # [layers, 3]
    all_reduce_amax(everything, group)
    for state, amax in zip(states, everything, strict=True):
        state.amax.copy_(amax)
        state.update()


def with_scale_update(finalize: Any, group: ProcessGroup | None) -> Callable[..., Any]:
    """megatron-core's `finalize_model_grads_func`, which its schedules call once per step, with `update_scales` and
    the weights' FP8 copies forgotten: the optimizer is next."""

    @functools.wraps(finalize)
    def finalize_and_update(models: Sequence[torch.nn.Module], *arguments: Any, **options: Any) -> Any:
        result = finalize(models, *arguments, **options)
        update_scales(models, group)
        forget_weights(models)
        return result

    return finalize_and_update


def all_reduce_amax(amax: Tensor, group: ProcessGroup | None) -> None:
    """Largest magnitude of all ranks, in place. As integers, so that a NaN wins on every backend."""
    if group is not None and group.size() > 1:
        dist.all_reduce(amax.view(torch.int32), dist.ReduceOp.MAX, group)


def current_scale(
    x: Tensor, options: Fp8Options, operand: Operand, axis: Axis, *, split: Axis | None, group: ProcessGroup | None
) -> tuple[Tensor, Tensor]:
    """(scale, scale_inv) from the magnitudes of x [rows, columns]: one number, or one per `axis` when rowwise.

    `split` says which dimension of the operand the ranks of `group` share: they all get the scales of the whole, so
    that no layout quantises differently.
    """
    if options.recipe == "rowwise":
        amax = fp8_amax(x, axis=axis)
        if split is not None and split != axis:  # a maximum along what is split
            all_reduce_amax(amax, group)
    else:
        amax = fp8_amax(x)
        if split is not None:
            all_reduce_amax(amax, group)
    return fp8_scale(amax, options.dtype(operand), margin=options.margin)


def scaled_matmul(a: Tensor, b: Tensor, a_inv: Tensor, b_inv: Tensor, *, dtype: torch.dtype, fast: bool) -> Tensor:
    """(a · a_inv) @ (b · b_inv)ᵀ with fp32 sums: a [m, k], b [n, k] FP8 → [m, n] of `dtype`.

    Args:
        a: dense rows.
        b: dense rows.
        a_inv: one float32 number, or [m].
        b_inv: one float32 number, or [n].
        dtype: of the result.
        fast: let the GPU sum with fewer bits, as is usual in the forward pass only.
    """
    rowwise = a_inv.dim() == 1 or b_inv.dim() == 1
    if not rowwise:
        if a.is_cuda:
            a, b = _whole_sixteens(a), _whole_sixteens(b)
        return _scaled_mm(a, b.t(), scale_a=a_inv, scale_b=b_inv, out_dtype=dtype, use_fast_accum=fast)
    if not _has_rowwise(a.device):
        return ((a.float() * a_inv[:, None]) @ (b.float() * b_inv[:, None]).t()).to(dtype)
    if a.is_cuda:
        a, b = _whole_sixteens(a), _whole_sixteens(b)
    # The GPU kernel for scales per row writes bf16 only.
    made = torch.bfloat16 if a.is_cuda else dtype
    result = _scaled_mm(a, b.t(), scale_a=a_inv[:, None], scale_b=b_inv[None, :], out_dtype=made, use_fast_accum=fast)
    return result.to(dtype)


def _whole_sixteens(x: Tensor) -> Tensor:
    """GPU kernels take sums of whole sixteens; zeros add nothing."""
    missing = -x.shape[1] % 16
    if not missing:
        return x
    return torch.nn.functional.pad(x.view(torch.uint8), (0, missing)).view(x.dtype)


@functools.cache
def _has_rowwise(device: torch.device) -> bool:
    """Whether torch multiplies with scales per row here: not on the CPU before torch 2.13."""
    if device.type == "cuda":
        return True
    try:
        a, ones = torch.zeros(16, 16, device=device).to(E4M3), torch.ones(16, 1, device=device)
        _scaled_mm(a, a.t(), scale_a=ones, scale_b=ones.t(), out_dtype=torch.float32)
    except (RuntimeError, ValueError):  # torch has said it both ways
        return False
    return True


def require_fp8_gpu(device: torch.device) -> None:
    """Refuse a GPU without FP8 matrix products.

    Raises:
        UserError: its compute capability is below 8.9.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        major, minor = torch.cuda.get_device_capability(device)
        raise UserError(
            f"{torch.cuda.get_device_name(device)} has compute capability {major}.{minor}; FP8 needs 8.9 (Ada, Hopper "
            "or newer); set model.fp8 to null"
        )
