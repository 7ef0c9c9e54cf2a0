"""Cross-entropy over a vocabulary that may be split over tensor-parallel ranks.

Each rank's kernel reduces its slice of the logits to three numbers per token; two all-reduces (the maximum, then the
sum of exponentials with the target's logit) make the loss. The gradient needs no communication. Everything after the
logits is float32: a float32 model gets a float32 gradient.
Shapes: s sequence, b batch, v vocabulary, tp tensor-parallel ranks.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from aixmeg.errors import UserError
from aixmeg.ops import library


def reference_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The definition in plain torch, in the logits' dtype, whole vocabulary: logits [s, b, v], target [s, b]."""
    return torch.logsumexp(logits, -1) - logits.gather(-1, target[..., None]).squeeze(-1)


def vocab_parallel_cross_entropy(logits: Tensor, target: Tensor, *, group: ProcessGroup | None = None) -> Tensor:
    """Loss of every token, -log softmax(logits)[target].

    Args:
        logits: [s, b, v/tp], this rank's slice of the vocabulary, float32 or bfloat16; left unchanged.
        target: [s, b] int64, ids in the whole vocabulary, the same on every rank of the group.
        group: the tensor-parallel group (gloo or NCCL), rank r holding ids r·v/tp … (r+1)·v/tp - 1; None when the
            vocabulary is not split.

    Returns:
        [s, b] float32, the same on every rank; differentiable in the logits. On CUDA, where looking would stall the
        GPU, a target outside the vocabulary gives NaN instead of an error.

    Raises:
        UserError: shapes, dtypes or devices do not fit, or the extension is not built.
        RuntimeError: a target outside [0, v) on CPU.
    """
    name = "vocab_parallel_cross_entropy"
    library.check_kernel_input(name, "logits", logits)
    if target.dtype != torch.int64 or target.device != logits.device:
        raise UserError(
            f"{name}: target is {target.dtype} on {target.device}; it must be torch.int64 on {logits.device}"
        )
    if logits.dim() < 2 or logits.shape[:-1] != target.shape or logits.shape[-1] == 0:
        raise UserError(
            f"{name}: logits have shape {list(logits.shape)}, target {list(target.shape)}; "
            "they must be [s, b, v/tp] with v/tp > 0, and [s, b]"
        )
    return _CrossEntropy.apply(logits, target, group)


_Statistics = tuple[Tensor, Tensor, Tensor]  # maximum, total, picked: [n] float32 each, see csrc/bind/library.cpp


def _combine(statistics: _Statistics, group: ProcessGroup | None) -> _Statistics:
    """Statistics of the whole vocabulary from those of every rank's slice."""
    if group is None or group.size() == 1:
        return statistics
    local, total, picked = statistics
    maximum = local.clone()
    dist.all_reduce(maximum, dist.ReduceOp.MAX, group)
    # A slice of only -inf logits has total 0; exp(-inf - maximum) keeps it 0.
    packed = torch.stack((total * torch.exp(local - maximum), picked))
    dist.all_reduce(packed, dist.ReduceOp.SUM, group)
    return maximum, packed[0], packed[1]


class _CrossEntropy(torch.autograd.Function):
    """Kernel, combination over ranks, kernel."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, group: ProcessGroup | None) -> Tensor:
        shard = logits.shape[-1]
        rank, size = (0, 1) if group is None else (group.rank(), group.size())
        flat, flat_target = logits.reshape(-1, shard), target.reshape(-1)  # [n, v/tp], [n]
        first = rank * shard
        statistics = torch.ops.aixmeg.cross_entropy_statistics(flat, flat_target, first, shard * size)
        maximum, total, picked = _combine(statistics, group)
        log_total = torch.log(total)
        ctx.save_for_backward(flat, flat_target, maximum, log_total)
        ctx.first, ctx.shape = first, logits.shape
        # maximum - picked first: both are large when logits are, their difference is not.
        return (log_total + (maximum - picked)).view(target.shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        flat, flat_target, maximum, log_total = ctx.saved_tensors
        dlogits = torch.ops.aixmeg.cross_entropy_backward(
            flat, flat_target, ctx.first, maximum, log_total, grad.reshape(-1)
        )
        return dlogits.view(ctx.shape), None, None


def _fake_statistics(logits: Tensor, target: Tensor, first: int, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    def row() -> Tensor:
        return logits.new_empty((logits.shape[0],), dtype=torch.float32)

    return row(), row(), row()


def _fake_backward(  # noqa: PLR0917 - the signature of the op
    logits: Tensor, target: Tensor, first: int, maximum: Tensor, log_total: Tensor, grad: Tensor
) -> Tensor:
    return logits.new_empty(logits.shape)


if library.is_loaded():
    torch.library.register_fake("aixmeg::cross_entropy_statistics", _fake_statistics)
    torch.library.register_fake("aixmeg::cross_entropy_backward", _fake_backward)
