"""When a step counts as broken, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HealthConfig:
    """A loss or gradient norm that is not finite, or far above the last ones, sends the training back to the newest
    checkpoint before it, and the samples of that step are left out."""

    window: int = 64
    """Steps whose losses and norms are looked back on; a spike is only seen when there are that many."""
    loss_spike: float = 20.0
    """A loss above median + loss_spike x deviation (the median distance from the median) of the window is a spike;
    0 disables it."""
    grad_norm_spike: float = 0.0
    """The same for the gradient norm, whose tail is heavier; 0 disables it."""
    skip_steps_before: int = 0
    """Steps before the broken one whose samples are left out too."""
    skip_steps_after: int = 0
    """Steps after the broken one whose samples are left out too."""
    max_rollbacks: int = 5
    """Rollbacks of the whole run, restarts included; the next broken step stops it. 0 stops at the first."""

    def problems(self, path: str) -> Iterator[str]:
        """Every broken rule of this section, which is called `path`."""
        for name in ("loss_spike", "grad_norm_spike", "skip_steps_before", "skip_steps_after", "max_rollbacks"):
            if getattr(self, name) < 0:
                yield f"{path}.{name}={getattr(self, name)} must be zero or more"
        if self.window < 4:
            yield f"{path}.window={self.window} is too short for a median; choose 4 or more"
