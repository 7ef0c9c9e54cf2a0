"""Cross-entropy over a vocabulary that may be split over tensor-parallel ranks.

Each rank's kernel reduces its slice of the logits to a few numbers per token; two all-reduces (the maximum, then the
sum of exponentials with the target's logit) make the loss. The gradient needs no communication. Everything after the
logits is float32: a float32 model gets a float32 gradient.
Shapes: s sequence, b batch, n tokens (s·b), v vocabulary, tp tensor-parallel ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from aixmeg.errors import UserError
from aixmeg.ops import library

IGNORE_INDEX = -100
"""torch's default: no vocabulary has such an id."""


@dataclass(frozen=True)
class Loss:
    """What the loss of a token is, and which slice of the vocabulary this rank holds."""

    ignore_index: int
    label_smoothing: float
    z_loss: float
    vocabulary: int
    """Ids on all ranks together."""
    first: int
    """The id of this rank's first logit."""

    @property
    def extras(self) -> tuple[int, int, float, float]:
        """The last arguments of the backward kernels."""
        return self.vocabulary, self.ignore_index, self.label_smoothing, self.z_loss


def reference_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> Tensor:
    """The definition in plain torch, in the logits' dtype, whole vocabulary: logits [s, b, v], target [s, b]."""
    ignored = target == ignore_index
    lse = torch.logsumexp(logits, -1)
    loss = lse - logits.gather(-1, target.masked_fill(ignored, 0)[..., None]).squeeze(-1)
    if label_smoothing:
        loss = (1 - label_smoothing) * loss + label_smoothing * (lse - logits.mean(-1))
    if z_loss:
        loss = loss + z_loss * lse.square()
    return loss.masked_fill(ignored, 0.0)


def vocab_parallel_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    group: ProcessGroup | None = None,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    observe_z_loss: Callable[[Tensor], object] | None = None,
) -> Tensor:
    """Loss of every token: -log softmax(logits)[target], and what the options add.

    Args:
        logits: [s, b, v/tp], this rank's slice of the vocabulary, float32 or bfloat16; left unchanged.
        target: [s, b] int64, ids in the whole vocabulary or ignore_index, the same on every rank of the group.
        group: the tensor-parallel group (gloo or NCCL), rank r holding ids r·v/tp … (r+1)·v/tp - 1; None when the
            vocabulary is not split.
        ignore_index: tokens of this target have loss 0 and no gradient.
        label_smoothing: the share of the target's probability that is spread over the whole vocabulary, the target
            included, as in torch (arXiv:1512.00567). megatron-core spreads over the others only: its value is
            this one times (v - 1) / v. 0 disables it.
        z_loss: adds z_loss · log(sum(exp(logits)))² (arXiv:2204.02311, section 5), which keeps logits small;
            0 disables it.
        observe_z_loss: is called with what z_loss adds to each token, [s, b] float32 without gradient, unless z_loss
            is 0.

    Returns:
        [s, b] float32, the same on every rank; differentiable in the logits. On CUDA, where looking would stall the
        GPU, a target outside the vocabulary gives NaN instead of an error.

    Raises:
        UserError: shapes, dtypes, devices or options do not fit, or the extension is not built.
        RuntimeError: a target outside [0, v) on CPU.
    """
    name = "vocab_parallel_cross_entropy"
    library.check_kernel_input(name, "logits", logits)
    check_target(name, target, logits.device)
    if logits.dim() < 2 or logits.shape[:-1] != target.shape or logits.shape[-1] == 0:
        raise UserError(
            f"{name}: logits have shape {list(logits.shape)}, target {list(target.shape)}; "
            "they must be [s, b, v/tp] with v/tp > 0, and [s, b]"
        )
    loss = describe(name, logits.shape[-1], group, ignore_index, label_smoothing, z_loss)
    losses, added = _CrossEntropy.apply(logits, target, group, loss)
    if observe_z_loss is not None and z_loss > 0:
        observe_z_loss(added)
    return losses


def check_target(op: str, target: Tensor, device: torch.device) -> None:
    """Check what can be checked without looking at the ids.

    Raises:
        UserError: another dtype than int64, or another device.
    """
    if target.dtype != torch.int64 or target.device != device:
        raise UserError(f"{op}: target is {target.dtype} on {target.device}; it must be torch.int64 on {device}")


def describe(  # noqa: PLR0917 - the options of both public functions, once
    op: str, shard: int, group: ProcessGroup | None, ignore_index: int, label_smoothing: float, z_loss: float
) -> Loss:
    """The options with this rank's place in the vocabulary, `shard` ids on each rank.

    Raises:
        UserError: an option outside its range.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise UserError(f"{op}: label_smoothing={label_smoothing} is a share; choose 0 (off) to 1")
    if z_loss < 0.0:
        raise UserError(f"{op}: z_loss={z_loss} is negative; use 0 (off) or a small positive number such as 1e-4")
    rank, size = (0, 1) if group is None else (group.rank(), group.size())
    return Loss(ignore_index, label_smoothing, z_loss, shard * size, rank * shard)


Statistics = tuple[Tensor, Tensor, Tensor, Tensor]
"""maximum, total, picked: [n] float32; shifted: [n], or [0] without label smoothing. See csrc/bind/library.cpp."""


def statistics(logits: Tensor, target: Tensor, loss: Loss) -> Statistics:
    """This rank's numbers of logits [n, v/tp] and target [n]."""
    return torch.ops.aixmeg.cross_entropy_statistics(
        logits, target, loss.first, loss.vocabulary, loss.ignore_index, loss.label_smoothing > 0
    )


def combine(local: Statistics, group: ProcessGroup | None, loss: Loss) -> Statistics:
    """Numbers of the whole vocabulary from those of every rank's slice."""
    if group is None or group.size() == 1:
        return local
    highest, total, picked, shifted = local
    maximum = highest.clone()
    dist.all_reduce(maximum, dist.ReduceOp.MAX, group)
    below = highest - maximum
    # A slice of only -inf logits has total 0; exp(-inf - maximum) keeps it 0.
    parts = [total * torch.exp(below), picked]
    if loss.label_smoothing > 0:
        parts.append(shifted + loss.vocabulary // group.size() * below)
    packed = torch.stack(parts)
    dist.all_reduce(packed, dist.ReduceOp.SUM, group)
    return maximum, packed[0], packed[1], packed[2] if loss.label_smoothing > 0 else shifted


def token_losses(whole: Statistics, target: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of target, their part from z_loss (empty without) and log(total), [n] float32 each."""
    maximum, total, picked, shifted = whole
    log_total = torch.log(total)
    # maximum - picked first: both are large when logits are, their difference is not.
    losses = log_total + (1 - loss.label_smoothing) * (maximum - picked)
    if loss.label_smoothing > 0:
        losses = losses - (loss.label_smoothing / loss.vocabulary) * shifted
    ignored, added = target == loss.ignore_index, losses.new_empty(0)
    if loss.z_loss > 0:
        added = (loss.z_loss * (maximum + log_total).square()).masked_fill(ignored, 0.0)
        losses = losses + added
    return losses.masked_fill(ignored, 0.0), added, log_total


class _CrossEntropy(torch.autograd.Function):
    """Kernel, combination over ranks, kernel."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, group: ProcessGroup | None, loss: Loss
    ) -> tuple[Tensor, Tensor]:
        flat, flat_target = logits.reshape(-1, logits.shape[-1]), target.reshape(-1)  # [n, v/tp], [n]
        whole = combine(statistics(flat, flat_target, loss), group, loss)
        losses, added, log_total = token_losses(whole, flat_target, loss)
        ctx.save_for_backward(flat, flat_target, whole[0], log_total)
        ctx.loss, ctx.shape = loss, logits.shape
        added = added.view(target.shape if loss.z_loss > 0 else 0)
        ctx.mark_non_differentiable(added)
        return losses.view(target.shape), added

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        flat, flat_target, maximum, log_total = ctx.saved_tensors
        loss: Loss = ctx.loss
        dlogits = torch.ops.aixmeg.cross_entropy_backward(
            flat, flat_target, loss.first, maximum, log_total, grad.reshape(-1), *loss.extras
        )
        return dlogits.view(ctx.shape), None, None, None


def _fake_statistics(  # noqa: PLR0917 - the signature of the op
    logits: Tensor, target: Tensor, first: int, vocabulary: int, ignore_index: int, want_shifted: bool
) -> Statistics:
    def row(length: int) -> Tensor:
        return logits.new_empty((length,), dtype=torch.float32)

    n = logits.shape[0]
    return row(n), row(n), row(n), row(n if want_shifted else 0)


def _fake_backward(logits: Tensor, *others: Any) -> Tensor:
    return logits.new_empty(logits.shape)


def _fake_backward_in_place(logits: Tensor, *others: Any) -> None:
    return None


if library.is_loaded():
    torch.library.register_fake("aixmeg::cross_entropy_statistics", _fake_statistics)
    torch.library.register_fake("aixmeg::cross_entropy_backward", _fake_backward)
    torch.library.register_fake("aixmeg::cross_entropy_backward_", _fake_backward_in_place)
