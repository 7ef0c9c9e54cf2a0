"""Whether a step's loss and gradient norm are those of a healthy training: a rule over the last steps.

With the values x of the last `window` accepted steps, m their median and d the median of |x - m| (the median absolute
deviation, which single outliers do not move), a value is a spike if it is above m + k · max(d, m / 1000). The floor
keeps a loss that hardly varies from making spikes of nothing. Values below the median are never spikes.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from statistics import median

from aixmeg.config import HealthConfig

_FLOOR = 1e-3


class Health:
    """Judges steps by those before them; the same numbers give the same judgement on every rank and after a restart.

    Args:
        options: the rule.
        history: `state()` of an earlier process.
    """

    def __init__(self, options: HealthConfig, history: Sequence[Sequence[float]] = ()) -> None:
        self._options = options
        self._seen: deque[tuple[float, float]] = deque(maxlen=options.window)
        self.restore(history)

    def judge(self, *, loss: float, grad_norm: float) -> str | None:
        """What is wrong with a step, None if nothing; a healthy one is remembered."""
        for name, value in (("loss", loss), ("gradient norm", grad_norm)):
            if not math.isfinite(value):
                return f"the {name} is {value}"
        if len(self._seen) == self._options.window:
            losses, norms = zip(*self._seen, strict=True)
            checks = (("loss", loss, losses, self._options.loss_spike),
                      ("gradient norm", grad_norm, norms, self._options.grad_norm_spike))  # fmt: skip
            for name, value, values, factor in checks:
                limit = spike_limit(values, factor)
                if factor and value > limit:
                    return f"the {name} {value:.6g} is above {limit:.6g}, which the last {len(values)} steps allow"
        self._seen.append((loss, grad_norm))
        return None

    def state(self) -> list[tuple[float, float]]:
        """What a restart needs, oldest first: (loss, gradient norm) of each step."""
        return list(self._seen)

    def restore(self, history: Sequence[Sequence[float]]) -> None:
        """Go on from `state()`."""
        self._seen.clear()
        self._seen.extend((loss, norm) for loss, norm in history)


def spike_limit(values: Sequence[float], factor: float) -> float:
    """The largest value that is no spike."""
    middle = median(values)
    deviation = median(abs(value - middle) for value in values)
    return middle + factor * max(deviation, _FLOOR * abs(middle))
