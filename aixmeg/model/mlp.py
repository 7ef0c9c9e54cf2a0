"""SwiGLU in megatron-core's activation slot, with our kernel."""

from __future__ import annotations

from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import Tensor

from aixmeg.ops.swiglu import swiglu


class SwiGLU(MegatronModule):
    """`silu(gate) * up` of the fused projection's output (Shazeer, arXiv 2002.05202).

    megatron-core calls a module in this slot only with `use_te_activation_func`, whose name speaks of Transformer
    Engine but needs none; it then passes the whole `[gate | up]` shard.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)

    def forward(self, x: Tensor) -> Tensor:
        """`[s, b, 2f/tp]` → `[s, b, f/tp]`."""
        return swiglu(x)


class DeferredSwiGLU(MegatronModule):
    """Passes gate | up on to a linear that does SwiGLU itself: `Fp8RowParallelLinear` with `gated`."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)

    def forward(self, x: Tensor) -> Tensor:
        """The identity."""
        return x
