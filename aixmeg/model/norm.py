"""RMSNorm in megatron-core's norm slots, with our kernel."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from aixmeg.ops.rms_norm import rms_norm


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

    def forward(self, x: Tensor) -> Tensor:
        """`[..., h]` → `[..., h]`."""
        return rms_norm(x, self.weight, self.eps)
