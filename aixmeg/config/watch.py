"""When a rank of a training counts as lost, hung or slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """Ranks watch each other beside the training. A process that ends is noticed at once; these say when the others are
    given up. Then every rank ends, and RUN/failures holds the first cause and what each rank was doing."""

    silence_timeout: float = 60.0
    """Seconds without a sign of life after which a rank is lost: its node is gone, or its process is stopped; 0 waits
    for ever."""
    hang_timeout: float = 480.0
    """Seconds that a rank may stay in one part of a step before the job hangs: longer than the longest step, and below
    the 600 after which the process groups give up without naming anyone; eight times as long while starting, evaluating
    and saving. 0 disables."""
    slow_window: int = 50
    """Steps over which a rank's own time is compared with the others'; 0 disables."""
    slow_share: float = 0.2
    """A rank is slow when the median of its own time lies this share above the ranks' median, and further from it than
    three times the median distance."""

    def problems(self, path: str) -> Iterator[str]:
        """Every broken rule of this section, which is called `path`."""
        for name in ("silence_timeout", "hang_timeout", "slow_window"):
            if getattr(self, name) < 0:
                yield f"{path}.{name}={getattr(self, name)} must be zero or more; 0 disables it"
        if not self.slow_share > 0:
            yield f"{path}.slow_share={self.slow_share} must be positive; {path}.slow_window=0 disables the comparison"
