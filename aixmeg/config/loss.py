"""What training minimises beside the cross-entropy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Terms of the training loss; held-out losses are the cross-entropy alone."""

    z_loss: float = 0.0
    """Factor of log(sum(exp(logits)))², added to each token's loss, which keeps logits small (arXiv:2204.02311, section
    5, uses 1e-4). Metrics report it as `z_loss`, and `loss` without it. 0 disables it."""
    label_smoothing: float = 0.0
    """Share of the target's probability that is spread over the whole vocabulary, the target included. `loss` is then
    the cross-entropy with the smoothed target. 0 disables it."""

    def problems(self, path: str) -> Iterator[str]:
        """Broken rules of this section."""
        if not self.z_loss >= 0.0:
            yield f"{path}.z_loss={self.z_loss} must be zero or more; 1e-4 is usual"
        if not 0.0 <= self.label_smoothing < 1.0:
            yield f"{path}.label_smoothing={self.label_smoothing} must be at least 0 and below 1; 0.1 is usual"
