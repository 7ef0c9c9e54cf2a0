"""What the training tells of slow ranks: once when one becomes slow, once when it no longer is, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aixmeg.watch.slow import Comparison


class SlowRanks:
    """Rank 0's log of slow ranks.

    Args:
        say: shows the user a line.
        tell: appends an event with a step and fields.
    """

    def __init__(self, say: Callable[[str], None], tell: Callable[..., None]) -> None:
        self._say, self._tell = say, tell
        self._since: dict[int, tuple[int, float]] = {}
        """Slow ranks → first step of the window in which they became it, seconds that the job waited for them."""
        self.newest: Comparison | None = None

    def compared(self, found: Comparison) -> None:
        """A window of all ranks."""
        self.newest = found
        for rank, above in found.slow.items():
            first, cost = self._since.get(rank, (found.step - found.steps + 1, 0.0))
            if rank not in self._since:
                self._say(found.line(rank))
                fields = {
                    "own": round(found.own[rank], 5),
                    "data": round(found.data[rank], 5),
                    "above": round(above, 5),
                }
                self._tell("slow", found.step, rank=rank, first=first, **fields)
            self._since[rank] = (first, cost + above * found.steps)
        for rank in self._since.keys() - found.slow.keys():
            self._ends(rank, found.step, f"rank {rank} is no longer slow")

    def stop(self, step: int) -> None:
        """The training ends."""
        for rank in sorted(self._since):
            self._ends(rank, step, f"rank {rank} was slow to the end")

    def fields(self) -> dict[str, Any]:
        """Of a metrics record: the newest window's rank_seconds_median, rank_seconds_slowest and slowest_rank."""
        if self.newest is None:
            return {}
        own = self.newest.own
        slowest = max(range(len(own)), key=own.__getitem__)
        return {
            "rank_seconds_median": round(sorted(own)[(len(own) - 1) // 2], 5),
            "rank_seconds_slowest": round(own[slowest], 5),
            "slowest_rank": slowest,
        }

    def _ends(self, rank: int, step: int, words: str) -> None:
        first, cost = self._since.pop(rank)
        self._say(f"{words}; it cost about {cost:.1f} s since step {first}")
        self._tell("no_longer_slow", step, rank=rank, first=first, cost=round(cost, 3))
