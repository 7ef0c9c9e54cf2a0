"""The output layer and its cross-entropy together, in chunks of tokens: the logits [n, v] are never held.

Forward reduces each chunk's logits to a few numbers per token and drops them, all but the last chunk's. Backward makes
a chunk's logits again, turns them into their gradient where they lie, and multiplies that into the gradients of hidden
states and weight. So k chunks cost 4 - 1/k products where the unfused layer needs 3. In return the gradient is exact
for any gradient of the single losses, which gradients made in the forward pass, that can only be scaled as a whole, are
not; nothing but the input and one chunk is kept between the passes; and evaluation pays nothing.
Shapes: s sequence, b batch, n tokens (s·b), h hidden, v vocabulary, tp tensor-parallel ranks.
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
from aixmeg.ops.cross_entropy import (
    IGNORE_INDEX,
    Loss,
    Statistics,
    check_target,
    combine,
    describe,
    reference_cross_entropy,
    statistics,
    token_losses,
)
from aixmeg.ops.products import multiply, widened
from aixmeg.ops.weight_gradient import stand_in, wgrad_gemm_accum

CHUNK_ROWS = 1024
"""Tokens per chunk where the caller does not choose: of 49,152 ids in bf16, 100 MB of logits."""


@dataclass(frozen=True)
class Layout:
    """How the product is cut and over whom."""

    group: ProcessGroup | None
    sequence_parallel: bool
    chunk_rows: int
    accumulate_into_main_grad: bool

    @property
    def ranks(self) -> int:
        """Tensor-parallel ranks."""
        return 1 if self.group is None else self.group.size()


def reference_linear_cross_entropy(hidden: Tensor, weight: Tensor, target: Tensor, **options: Any) -> Tensor:
    """The definition in plain torch, whole vocabulary: hidden [s, b, h], weight [v, h], target [s, b] -> [s, b]."""
    return reference_cross_entropy(hidden @ weight.t(), target, **options)


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    group: ProcessGroup | None = None,
    sequence_parallel: bool = False,
    chunk_rows: int = CHUNK_ROWS,
    accumulate_into_main_grad: bool = False,
    ignore_index: int = IGNORE_INDEX,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    observe_z_loss: Callable[[Tensor], object] | None = None,
) -> Tensor:
    """Loss of every token: `vocab_parallel_cross_entropy(hidden @ weight.T, target)` without its logits.

    Args:
        hidden: [s, b, h], or [s/tp, b, h] with sequence_parallel; float32 or bfloat16.
        weight: [v/tp, h], this rank's slice of the output layer, the dtype of hidden.
        target: [s, b] int64, ids in the whole vocabulary or ignore_index, the same on every rank of the group.
        group: the tensor-parallel group, rank r holding ids r·v/tp … (r+1)·v/tp - 1; None when the vocabulary is not
            split.
        sequence_parallel: hidden is this rank's part of the sequence, gathered here; its gradient is scattered.
        chunk_rows: tokens whose logits exist at once.
        accumulate_into_main_grad: add the weight's gradient to `weight.main_grad` where that exists, as megatron-core's
            linear layers do with gradient_accumulation_fusion; else it is returned to autograd. Either way it is summed
            over chunks in float32, and rounded once where the other is not float32.
        ignore_index: tokens of this target have loss 0 and no gradient.
        label_smoothing: see `vocab_parallel_cross_entropy`.
        z_loss: see `vocab_parallel_cross_entropy`.
        observe_z_loss: see `vocab_parallel_cross_entropy`.

    Returns:
        [s, b] float32, the same on every rank; differentiable in hidden and weight. On CUDA a target outside the
        vocabulary gives NaN.

    Raises:
        UserError: shapes, dtypes, devices or options do not fit, or the extension is not built.
        RuntimeError: a target outside [0, v) on CPU.
    """
    name = "linear_cross_entropy"
    library.check_kernel_input(name, "hidden", hidden)
    library.check_same_kind(name, hidden=hidden, weight=weight)
    check_target(name, target, hidden.device)
    layout = Layout(group, sequence_parallel, chunk_rows, accumulate_into_main_grad)
    parts = layout.ranks if sequence_parallel else 1
    fits = hidden.dim() == 3 and weight.dim() == 2 and hidden.shape[2] == weight.shape[1] and weight.shape[0] > 0
    if not fits or (hidden.shape[0] * parts, hidden.shape[1]) != tuple(target.shape):
        raise UserError(
            f"{name}: hidden has shape {list(hidden.shape)}, weight {list(weight.shape)}, target {list(target.shape)}; "
            f"they must be [s/{parts}, b, h], [v/tp, h] with v/tp > 0, and [s, b]"
        )
    if chunk_rows < 1:
        raise UserError(f"{name}: chunk_rows={chunk_rows} must be at least 1")
    loss = describe(name, weight.shape[0], group, ignore_index, label_smoothing, z_loss)
    losses, added = _LinearCrossEntropy.apply(hidden, weight, target, layout, loss)
    if observe_z_loss is not None and z_loss > 0:
        observe_z_loss(added)
    return losses


class _LinearCrossEntropy(torch.autograd.Function):
    """One reading of the vocabulary forward, one backward."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd functions take positions
        ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor, layout: Layout, loss: Loss
    ) -> tuple[Tensor, Tensor]:
        flat, flat_target = _gathered(hidden, layout), target.reshape(-1)  # [n, h], [n]
        factor = widened(weight)
        local, logits = [], None
        for rows, ids in zip(flat.split(layout.chunk_rows), flat_target.split(layout.chunk_rows), strict=True):
            logits = None  # or two chunks' logits would exist at once
            logits = multiply(widened(rows), factor.t())  # [chunk, v/tp]
            local.append(statistics(logits, ids, loss))
        # An attribute, so that it can be given up in the backward pass; a graph of torch.compile has none.
        ctx.last_logits = None if torch.compiler.is_compiling() or not any(ctx.needs_input_grad) else logits
        whole: Statistics = combine(tuple(map(torch.cat, zip(*local, strict=True))), layout.group, loss)  # type: ignore[assignment]
        losses, added, log_total = token_losses(whole, flat_target, loss)
        ctx.save_for_backward(hidden, weight, flat_target, whole[0], log_total)
        ctx.layout, ctx.loss, ctx.shape = layout, loss, target.shape
        # As megatron-core: the buffer belongs to the parameter, not to the graph that autograd checks for changes.
        ctx.main_grad = getattr(weight, "main_grad", None) if layout.accumulate_into_main_grad else None
        added = added.view(target.shape if loss.z_loss > 0 else 0)
        ctx.mark_non_differentiable(added)
        return losses.view(target.shape), added

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:  # type: ignore[override]
        hidden, weight, target, maximum, log_total = ctx.saved_tensors
        layout: Layout = ctx.layout
        wants_hidden, wants_weight = ctx.needs_input_grad[:2]
        flat, factor = _gathered(hidden, layout), widened(weight)
        dhidden = torch.empty_like(flat) if wants_hidden else None
        dweight = _accumulator(weight, ctx.main_grad) if wants_weight else None
        logits, ctx.last_logits = ctx.last_logits, None  # a second backward pass makes them again
        grads = grad.reshape(-1)
        for first in reversed(range(0, flat.shape[0], layout.chunk_rows)):
            part = slice(first, min(first + layout.chunk_rows, flat.shape[0]))
            rows = widened(flat[part])
            if logits is None:
                logits = multiply(rows, factor.t())  # [chunk, v/tp], then their gradient
            torch.ops.aixmeg.cross_entropy_backward_(
                logits, target[part], ctx.loss.first, maximum[part], log_total[part], grads[part], *ctx.loss.extras
            )
            if dhidden is not None:
                dhidden[part] = multiply(logits, factor)
            if dweight is not None:
                wgrad_gemm_accum(rows, logits, dweight)
            logits = None  # or two chunks' logits would exist at once
        if dhidden is not None:
            dhidden = _scattered(dhidden.view(*ctx.shape, hidden.shape[-1]), layout)
        if dweight is not None:
            dweight = _handed_over(dweight, weight, ctx.main_grad)
        return dhidden, dweight, None, None, None


def _gathered(hidden: Tensor, layout: Layout) -> Tensor:
    """The whole sequence's hidden states, [n, h]."""
    if layout.sequence_parallel and layout.ranks > 1:
        whole = hidden.new_empty((hidden.shape[0] * layout.ranks, *hidden.shape[1:]))
        dist.all_gather_into_tensor(whole, hidden.contiguous(), group=layout.group)
        hidden = whole
    return hidden.reshape(-1, hidden.shape[-1])


def _scattered(dhidden: Tensor, layout: Layout) -> Tensor:
    """Sum over the ranks' slices of the vocabulary, [s, b, h]; this rank's part of it with sequence parallelism."""
    if layout.ranks == 1:
        return dhidden
    if not layout.sequence_parallel:
        dist.all_reduce(dhidden, group=layout.group)
        return dhidden
    part = dhidden.new_empty((dhidden.shape[0] // layout.ranks, *dhidden.shape[1:]))
    dist.reduce_scatter_tensor(part, dhidden, group=layout.group)
    return part


def _accumulator(weight: Tensor, main_grad: Tensor | None) -> Tensor:
    """[v/tp, h] float32, where the products of all chunks are summed: main_grad itself if it is float32."""
    if main_grad is not None and main_grad.dtype == torch.float32:
        return main_grad
    return torch.zeros_like(weight, dtype=torch.float32)


def _handed_over(dweight: Tensor, weight: Tensor, main_grad: Tensor | None) -> Tensor | None:
    """What autograd gets for the weight, whose gradient is in main_grad afterwards if there is one."""
    if main_grad is None:
        return dweight.to(weight.dtype)
    if dweight is not main_grad:
        main_grad.add_(dweight)
    return stand_in(weight)  # a saved leaf is the parameter itself
