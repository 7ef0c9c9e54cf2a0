"""Column- and row-parallel linears that multiply in FP8, on megatron-core's layers; no Transformer Engine.

All three products of a linear run in FP8: y = x wᵀ, dx = dy w, dw = dyᵀ x. Weights stay in the model's dtype and are
quantised at each use, or once per step (`fp8_weights.py`); the input is kept for the backward pass as FP8.
Legend: `s` sequence, `b` batch, `m` = s·b tokens, `k` input features, `n` output features, all of this rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from torch import Tensor

from aixmeg.model.fp8_scaling import (
    Axis,
    DelayedScaling,
    Fp8Options,
    Operand,
    current_scale,
    require_fp8_gpu,
    scaled_matmul,
)
from aixmeg.model.fp8_weights import KeptWeights, QuantisedWeight
from aixmeg.model.token_exchange import TokenExchange
from aixmeg.ops import library
from aixmeg.ops.weight_gradient import stand_in

_Scale = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """What the autograd function knows of its layer."""

    options: Fp8Options
    delayed: DelayedScaling | None
    exchange: TokenExchange
    split: dict[Operand, Axis | None]
    """The dimension of each operand that the tensor ranks share."""
    gated: bool
    """The input is gate | up, and SwiGLU part of the quantisation."""
    accumulate: bool
    """Add the weight gradient to `weight.main_grad`."""
    record: bool
    """Whether delayed scaling notes the magnitudes: not while evaluating."""
    weights: KeptWeights | None
    """Where the weight's FP8 copies are kept, if they are."""

    def scale(self, x: Tensor, operand: Operand, axis: Axis, *, part_of_tokens: bool = False) -> _Scale:
        """(scale, scale_inv) of an operand: for all of it, or when rowwise for each of its rows or columns."""
        if self.delayed is not None and self.delayed.ready:
            return self.delayed.scale[operand], self.delayed.scale_inv[operand]
        split = "rows" if part_of_tokens else self.split[operand]
        return current_scale(x, self.options, operand, axis, split=split, group=self.exchange.group)

    def quantize(
        self, x: Tensor, operand: Operand, rows: Tensor | None, columns: Tensor | None, *, note: bool = True
    ) -> tuple[Tensor, Tensor]:
        """The layouts whose scales are given, in one pass; `note` the magnitudes for delayed scaling."""
        amax = self.delayed.amax[operand : operand + 1] if self.delayed is not None and self.record and note else None
        gated = self.gated and operand is Operand.INPUT
        e5m2 = self.options.dtype(operand) == torch.float8_e5m2
        return torch.ops.aixmeg.fp8_quantize(x, rows, columns, e5m2, gated, amax)

    def quantized_weight(self, weight: Tensor, axis: Axis, *, scale: _Scale | None = None) -> QuantisedWeight:
        """The weight's layout of the forward ("rows") or the backward pass; `scale` where it is known."""
        note = axis == "rows" and self.delayed is not None and self.record
        kept = self.weights.find(weight, axis, note=note) if self.weights is not None else None
        if kept is not None:
            return kept
        factor, inv = scale if scale is not None else self.scale(weight, Operand.WEIGHT, axis)
        rows, columns = (factor, None) if axis == "rows" else (None, factor)
        q, transposed = self.quantize(weight, Operand.WEIGHT, rows, columns, note=note)
        made = QuantisedWeight(q if axis == "rows" else transposed, factor, inv, note)
        if self.weights is not None:
            self.weights.keep(weight, axis, made)
        return made


class _Fp8Linear(torch.autograd.Function):
    """y = x wᵀ of this rank's shards; sums over ranks of y are the caller's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layer: _Layer, keep: bool) -> Tensor:
        matrix = x.reshape(-1, x.shape[-1])  # [m, k], or [m, 2k] gated
        kept, input_inv, q, q_inv = _quantize_input(matrix, layer, keep)
        w = layer.quantized_weight(weight, "rows")
        y = scaled_matmul(q, w.matrix, q_inv, w.scale_inv, dtype=x.dtype, fast=True)  # [m, n]
        if keep:
            gate_up = matrix if layer.gated else None
            ctx.save_for_backward(kept, input_inv, weight, w.scale, w.scale_inv, gate_up)
            # Not a tensor that autograd watches: its buffer is shared by all micro-batches.
            ctx.main_grad = getattr(weight, "main_grad", None) if layer.accumulate else None
            ctx.layer, ctx.shape = layer, x.shape
        return y.view(-1, *x.shape[1:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # type: ignore[override]
        kept, input_inv, weight, w_scale, w_inv, gate_up = ctx.saved_tensors
        layer: _Layer = ctx.layer
        wanted_x, wanted_w = ctx.needs_input_grad[:2]
        dy = dy.reshape(-1, dy.shape[-1])  # [m, n]

        # 1. Quantise dy into the layouts of both products.
        row_scale, row_inv = layer.scale(dy, Operand.GRADIENT, "rows")
        column_scale, column_inv = row_scale, row_inv
        if layer.options.recipe == "rowwise" and wanted_w:
            column_scale, column_inv = layer.scale(dy, Operand.GRADIENT, "columns")
        grad, grad_columns = layer.quantize(dy, Operand.GRADIENT, row_scale, column_scale if wanted_w else None)

        # 2. dx = dy w, its sum over ranks on the way while dw is computed.
        dx, waiting = None, None
        if wanted_x:
            whole = None if layer.options.recipe == "rowwise" else (w_scale, w_inv)
            w = layer.quantized_weight(weight, "columns", scale=whole)
            dx = scaled_matmul(grad, w.matrix, row_inv, w.scale_inv, dtype=weight.dtype, fast=False)  # [m, k]
            dx, waiting = layer.exchange.start_sum(dx)

        # 3. dw = dyᵀ x
        dw = _weight_gradient(ctx, grad_columns, column_inv, kept, input_inv, weight) if wanted_w else None

        if waiting is not None:
            waiting.wait()
        if dx is not None and gate_up is not None:
            dx = torch.ops.aixmeg.swiglu_backward(dx, gate_up)
        return dx.view(ctx.shape) if dx is not None else None, dw, None, None


def _quantize_input(matrix: Tensor, layer: _Layer, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(what the backward pass keeps, its scale_inv, [m, k] of all tokens for the product, its scale_inv)."""
    if not layer.exchange.gather_tokens:
        source = torch.ops.aixmeg.swiglu_forward(matrix) if layer.gated and not _is_ready(layer) else matrix
        row_scale, row_inv = layer.scale(source, Operand.INPUT, "rows")
        column_scale, column_inv = row_scale, row_inv
        if layer.options.recipe == "rowwise" and keep:
            column_scale, column_inv = layer.scale(source, Operand.INPUT, "columns")
        q, transposed = layer.quantize(matrix, Operand.INPUT, row_scale, column_scale if keep else None)
        return transposed, column_inv, q, row_inv
    if layer.options.recipe == "rowwise":
        # The scales of the backward pass run along the gathered tokens: keep what they are computed from.
        whole = layer.exchange.gather(matrix)
        scale, inv = layer.scale(whole, Operand.INPUT, "rows")
        q, _ = layer.quantize(whole, Operand.INPUT, scale, None)
        return matrix, inv, q, inv
    scale, inv = layer.scale(matrix, Operand.INPUT, "rows", part_of_tokens=True)
    q, _ = layer.quantize(matrix, Operand.INPUT, scale, None)
    return q, inv, layer.exchange.gather(q), inv  # bytes travel: half of what bf16 takes


def _is_ready(layer: _Layer) -> bool:
    return layer.delayed is not None and layer.delayed.ready


def _input_columns(kept: Tensor, inv: Tensor, layer: _Layer) -> _Scale:
    """The transposed input [k, m] in FP8 and its scale_inv, from what the forward pass kept."""
    if not layer.exchange.gather_tokens:
        return kept, inv
    whole = layer.exchange.gather(kept)
    if layer.options.recipe != "rowwise":
        return whole.view(torch.uint8).t().contiguous().view(whole.dtype), inv
    scale, inv = layer.scale(whole, Operand.INPUT, "columns")
    _, transposed = layer.quantize(whole, Operand.INPUT, None, scale)
    return transposed, inv


def _weight_gradient(  # noqa: PLR0917
    ctx: Any, grad_columns: Tensor, grad_inv: Tensor, kept: Tensor, input_inv: Tensor, weight: Tensor
) -> Tensor | None:
    """dw [n, k], or its addition to main_grad and what autograd gets in its place."""
    layer: _Layer = ctx.layer
    columns, inv = _input_columns(kept, input_inv, layer)
    main_grad: Tensor | None = ctx.main_grad
    dtype = weight.dtype if main_grad is None else main_grad.dtype
    dw = scaled_matmul(grad_columns, columns, grad_inv, inv, dtype=dtype, fast=False)
    if main_grad is None:
        return dw
    main_grad.add_(dw)
    return stand_in(weight)


class _Fp8Layer:
    """What both linears share: their part of `_forward_impl`, and the state in checkpoints."""

    fp8: Fp8Options
    fp8_scaling: DelayedScaling | None
    fp8_split: ClassVar[dict[Operand, Axis | None]]
    fp8_gated: bool = False
    fp8_weights: KeptWeights | None = None

    def _set_up(self, fp8: Fp8Options, bias: Any) -> None:
        if bias is not None:
            raise ValueError("the FP8 linears have no bias: build the model with add_bias_linear=False")
        library.load()
        weight: Tensor = self.weight  # type: ignore[attr-defined]
        require_fp8_gpu(weight.device)
        self.fp8 = fp8
        self.fp8_weights = KeptWeights() if fp8.keep_weights else None
        self.fp8_scaling = DelayedScaling(fp8, weight.device) if fp8.recipe == "delayed" else None

    def _forward_impl(  # noqa: PLR0917 - megatron-core's order
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        gradient_accumulation_fusion: bool = False,
        allreduce_dgrad: bool = False,
        sequence_parallel: bool = False,
        **_: Any,
    ) -> Tensor:
        """megatron-core's hook: the product of this rank's shards."""
        training = torch.is_grad_enabled()
        layer = _Layer(
            options=self.fp8,
            delayed=self.fp8_scaling,
            exchange=TokenExchange(
                group=self.tp_group,  # type: ignore[attr-defined]
                gather_tokens=sequence_parallel,
                sum_input_gradient=allreduce_dgrad,
            ),
            split=self.fp8_split,
            gated=self.fp8_gated,
            accumulate=gradient_accumulation_fusion,
            record=training,
            weights=self.fp8_weights,
        )
        return _Fp8Linear.apply(input, weight, layer, training)

    def sharded_state_dict(
        self, prefix: str = "", sharded_offsets: tuple = (), metadata: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """megatron-core's entries, and those of delayed scaling."""
        state = super().sharded_state_dict(prefix, sharded_offsets, metadata)  # type: ignore[misc]
        own = f"{prefix}fp8_scaling."
        state = {name: value for name, value in state.items() if not name.startswith(own)}
        if self.fp8_scaling is not None:
            groups = (self.tp_group, metadata["dp_cp_group"] if metadata else None)  # type: ignore[attr-defined]
            state |= self.fp8_scaling.sharded(own, sharded_offsets, *groups)
        return state


class Fp8ColumnParallelLinear(_Fp8Layer, ColumnParallelLinear):
    """megatron-core's ColumnParallelLinear in FP8: weight [n/tp, k]; see `ColumnParallelLinear` for its arguments.

    Raises:
        UserError: the GPU has no FP8 instructions.
        ValueError: a bias is asked for.
    """

    fp8_split: ClassVar = {Operand.INPUT: None, Operand.WEIGHT: "rows", Operand.GRADIENT: "columns"}

    def __init__(self, *arguments: Any, fp8: Fp8Options, **options: Any) -> None:
        ColumnParallelLinear.__init__(self, *arguments, **options)
        self._set_up(fp8, self.bias)


class Fp8RowParallelLinear(_Fp8Layer, RowParallelLinear):
    """megatron-core's RowParallelLinear in FP8: weight [n, k/tp].

    With `gated`, its input is gate | up [s, b, 2k/tp], and SwiGLU happens within the quantisation (`aixmeg.model.mlp`
    then leaves the activation out).

    Raises:
        UserError: the GPU has no FP8 instructions.
        ValueError: a bias is asked for.
    """

    fp8_split: ClassVar = {Operand.INPUT: "columns", Operand.WEIGHT: "columns", Operand.GRADIENT: None}

    def __init__(self, *arguments: Any, fp8: Fp8Options, gated: bool = False, **options: Any) -> None:
        RowParallelLinear.__init__(self, *arguments, **options)
        self._set_up(fp8, self.bias)
        self.fp8_gated = gated
