"""megatron-core's transformer layer with the addition behind attention and the norm that follows it as one kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from megatron.core.transformer.transformer_layer import TransformerLayer
from torch import Tensor


class FusedNormLayer(TransformerLayer):
    """Legend: `s` sequence, `b` batch, `h` hidden.

    megatron-core adds the residual in one slot (`self_attn_bda`) and normalises the sum in the next
    (`pre_mlp_layernorm`), with nothing between them but the empty slots of cross-attention. Here the first computes
    both and the second hands out the norm. The other addition of a layer meets its norm only in the next layer,
    perhaps on another pipeline rank, and stays apart.

    The norm's module is called as such, not only its weight read: megatron-core's DDP waits in the module's hook for
    weights that are still being gathered. Dropout and biases are not made for and refused.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.hidden_dropout != 0.0 or self.config.add_bias_linear:
            raise ValueError(
                f"hidden_dropout={self.hidden_dropout}, add_bias_linear={self.config.add_bias_linear}: the fused "
                "addition and norm has neither; use megatron-core's TransformerLayer"
            )
        self.self_attn_bda = self._add_and_normalise
        self._ready: tuple[Tensor, Tensor] | None = None

    def _add_and_normalise(self, training: bool, fused: bool) -> Callable[..., Tensor]:
        """What the slot returns: a function of attention's output with its bias (None), the residual and dropout."""

        def add(output_with_bias: tuple[Tensor, None], residual: Tensor, _dropout: float) -> Tensor:
            normed, total = self.pre_mlp_layernorm(output_with_bias[0], residual)
            self._ready = (total, normed)
            return total  # [s, b, h]

        return add

    def _forward_pre_mlp_layernorm(self, hidden_states: Tensor) -> Tensor:
        """The norm made with the sum, which `hidden_states` is."""
        ready, self._ready = self._ready, None
        if ready is None or ready[0] is not hidden_states:
            raise RuntimeError("something changed the residual stream between attention and the norm before the MLP")
        return ready[1]
