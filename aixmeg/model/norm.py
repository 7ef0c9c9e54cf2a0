"""RMSNorm in megatron-core's norm slots, with our kernel."""

from __future__ import annotations

from typing import Any, overload

import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from aixmeg.ops.rms_norm import add_rms_norm, rms_norm


class RMSNorm(torch.nn.Module):
    """`x / sqrt(mean(x²) + eps) * weight` over the last dimension (Zhang and Sennrich, arXiv 1910.07467).

    Under sequence parallelism each tensor rank normalises its part of the sequence, so each has a partial gradient
    of the same weight; the attribute `sequence_parallel` makes megatron-core sum them.
    """

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = 1e-5, **_: Any) -> None:
        super().__init__()
        self.eps = eps
        device = None if config.use_cpu_initialization else torch.cuda.current_device()
        self.weight = torch.nn.Parameter(torch.ones(hidden_size, dtype=config.params_dtype, device=device))
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    @overload
    def forward(self, x: Tensor) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]: ...
    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """`[..., h]` → `[..., h]`; with a residual, the norm of the sum of the two and the sum."""
        if residual is None:
            return rms_norm(x, self.weight, self.eps)
        return add_rms_norm(x, residual, self.weight, self.eps)
