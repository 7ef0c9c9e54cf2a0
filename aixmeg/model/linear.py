"""megatron-core's linears, with the CPU products of `aixmeg.ops.products` where torch's own are slow.

Legend: `s` sequence, `b` batch, `m` = s·b tokens, `k` input features, `n` output features, all of this rank.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from torch import Tensor

from aixmeg.model.token_exchange import TokenExchange
from aixmeg.ops.products import in_onednn, is_slow, multiply, widened
from aixmeg.ops.weight_gradient import stand_in, wgrad_gemm_accum


class _CpuLinear(torch.autograd.Function):
    """y = x wᵀ of this rank's shards; nothing but x is kept, and what is slow in bf16 is widened at each use."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, exchange: TokenExchange, accumulate: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.exchange = exchange
        # As megatron-core: the buffer belongs to the parameter, not to the graph that autograd checks for changes.
        ctx.main_grad = getattr(weight, "main_grad", None) if accumulate else None
        rows = exchange.gather(x.reshape(-1, x.shape[-1]))  # [m, k]
        y = multiply(widened(rows), widened(weight).t()).to(x.dtype)  # [m, n]
        return y.view(-1, *x.shape[1:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        exchange: TokenExchange = ctx.exchange
        grad = widened(dy.reshape(-1, dy.shape[-1]))  # [m, n]
        dx, waiting, dw = None, None, None
        if ctx.needs_input_grad[0]:
            dx, waiting = exchange.start_sum(multiply(grad, widened(weight)).to(x.dtype))  # [m, k]
        if ctx.needs_input_grad[1]:
            rows = widened(exchange.gather(x.reshape(-1, x.shape[-1])))
            if ctx.main_grad is None:
                dw = multiply(grad.t(), rows).to(weight.dtype)
            else:
                wgrad_gemm_accum(rows, grad, ctx.main_grad)
                dw = stand_in(weight)
        if waiting is not None:
            waiting.wait()
        return dx.view(x.shape) if dx is not None else None, dw, None, None


class _FastOnCpu:
    """`_forward_impl`, megatron-core's hook for the product of this rank's shards."""

    def _forward_impl(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        gradient_accumulation_fusion: bool = False,
        **options: Any,
    ) -> Tensor:
        # A model outside of megatron-core's DDP has no buffer to add to; megatron-core's own linear fails then.
        accumulate = gradient_accumulation_fusion and hasattr(weight, "main_grad")
        if not (is_slow(input) or in_onednn(input)) or bias is not None:
            return super()._forward_impl(  # type: ignore[misc]
                input=input, weight=weight, bias=bias, gradient_accumulation_fusion=accumulate, **options

            )  # fmt: skip
        exchange = TokenExchange(
            group=self.tp_group,  # type: ignore[attr-defined]
            gather_tokens=options.get("sequence_parallel", False),
            sum_input_gradient=options.get("allreduce_dgrad", False),
        )
        return _CpuLinear.apply(input, weight, exchange, accumulate)


class ColumnLinear(_FastOnCpu, ColumnParallelLinear):
    """weight `[n/tp, k]`."""


class RowLinear(_FastOnCpu, RowParallelLinear):
    """weight `[n, k/tp]`."""
