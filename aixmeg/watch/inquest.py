"""Who failed first: what rank 0 hears of the ranks, and the rules that make a verdict of it.

1. A rank whose process ended without a word, or which reports an error of its own, is the first cause. What else fails
   within a moment of it failed with it.
2. A rank that gave no sign of life for `silence_timeout` is lost.
3. Broken connections are what the other ranks see of 1 and 2: they count only when nothing of these turns up.
4. A rank that stays in one part of a step for `hang_timeout` has the stacks of all ranks asked for. The culprit is who
   does not answer, else who is behind the others in steps or parts of a step, else who is not inside a collective.

Pure logic: every moment is passed in, in seconds of any clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aixmeg.watch.failures import Failure, shown

SETTLE = 0.5
"""Seconds after a first cause in which others count as failed with it."""
ANSWER = 5.0
"""Seconds that ranks have for saying what they are doing when the job hangs, or `hang_timeout` if that is shorter."""
PATIENT = {"start": 8.0, "evaluation": 8.0, "checkpoint": 8.0}
"""Parts of a training that may take so many times `hang_timeout`."""
_ORDER = ("start", "data", "forward_backward", "evaluation", "checkpoint", "end")
_WITHOUT_A_WORD = "without a word; killed (SIGKILL, out of memory) or left by itself"


@dataclass
class Seen:
    """What is known of one rank."""

    rank: int
    heard: float
    """When it gave the last sign of life."""
    who: dict[str, Any] = field(default_factory=dict)
    """host, pid, gpu: fields of a failure."""
    process: str | None = None
    """`process_key` of it."""
    step: int = 0
    phase: str = "start"
    age: float = 0.0
    """Seconds since it entered the phase, as it last said."""
    gone: float | None = None
    """When its connection ended."""
    done: bool = False
    """Whether it said that it has ended well."""
    error: dict[str, Any] | None = None
    """What it reports: kind, cause, secondary."""
    failed: float | None = None
    """When it reported it."""
    answer: dict[str, Any] | None = None
    """What it was doing when the job hung: collective, frame."""


class Inquest:
    """Takes what the ranks say and finds the first cause.

    Args:
        ranks: of the job.
        silence_timeout: seconds; 0 for never.
        hang_timeout: seconds; 0 for never.
        now: moment at which the ranks have met.
    """

    def __init__(self, ranks: int, *, silence_timeout: float, hang_timeout: float, now: float) -> None:
        self.seen = [Seen(rank, now) for rank in range(ranks)]
        self._silence, self._hang = silence_timeout, hang_timeout
        self.asked: float | None = None
        """When the stacks of all ranks were asked for."""

    def heard(self, rank: int, message: dict[str, Any], now: float) -> None:
        """A rank has sent something."""
        seen = self.seen[rank]
        seen.heard = now
        seen.who |= message.get("who", {})
        for name in ("process", "step", "phase", "age"):
            setattr(seen, name, message.get(name, getattr(seen, name)))
        seen.done = seen.done or "done" in message
        if "error" in message and seen.error is None:
            seen.error, seen.failed = message["error"], now
        if "answer" in message:
            seen.answer = message["answer"]

    def closed(self, rank: int, now: float) -> None:
        """A rank's connection has ended."""
        self.seen[rank].gone = now

    def excuse(self, seconds: float) -> None:
        """Nobody was listened to for so long."""
        for seen in self.seen:
            seen.heard += seconds

    def stuck(self, failure: Failure) -> list[str]:
        """Processes that fail with `failure` and cannot end themselves."""
        culprits = [self.seen[rank] for rank in (failure.rank, *failure.others)]
        deaf = failure.kind == "lost" or (failure.kind == "hung" and culprits[0].answer is None)
        return [seen.process for seen in culprits if deaf and seen.process]

    def verdict(self, now: float) -> Failure | None:
        """The first cause, once it is clear."""
        return self._ended(now) or self._silent(now) or self._broken(now) or self._hung(now)

    def hanging(self, now: float) -> bool:
        """Whether a rank has stood still for too long, so that all should be asked what they are doing."""
        return self.asked is None and any(self._stands(seen, now) for seen in self.seen)

    def _ended(self, now: float) -> Failure | None:
        ended = [(moment, seen) for seen in self.seen if (moment := _moment(seen)) is not None]
        if not ended:
            return None
        first, culprit = min(ended, key=lambda pair: (pair[0], pair[1].rank))
        if now - first < SETTLE and len(ended) < len(self.seen):
            return None
        if culprit.error:  # what all find out for themselves, a broken loss, is the first rank's to say
            culprit = next(seen for _, seen in ended if seen.error and seen.error["cause"] == culprit.error["cause"])
        others = [seen.rank for _, seen in ended if seen is not culprit]
        error = culprit.error or {"kind": "died", "cause": _WITHOUT_A_WORD}
        return self._failure(culprit, error["kind"], error["cause"], others)

    def _silent(self, now: float) -> Failure | None:
        alive = [seen for seen in self.seen if not seen.done and seen.gone is None]
        silent = [seen for seen in alive if self._silence and now - seen.heard > self._silence]
        if not silent:
            return None
        culprit = min(silent, key=lambda seen: (seen.heard, seen.rank))
        cause = f"no sign of life for {now - culprit.heard:.0f} s; its node is gone, or its process is stopped"
        others = [seen.rank for seen in silent if seen is not culprit]
        return self._failure(culprit, "lost", cause, others, stood=now - culprit.heard)

    def _broken(self, now: float) -> Failure | None:
        """Only connections broke: the ranks that they led to may still fall silent."""
        failed = [seen for seen in self.seen if seen.failed is not None]
        if not failed:
            return None
        culprit = min(failed, key=lambda seen: (seen.failed, seen.rank))
        waited = now - (culprit.failed or now)
        if waited < SETTLE or (waited < self._silence + 2 * SETTLE and len(failed) < len(self.seen)):
            return None
        error = culprit.error or {}
        return self._failure(culprit, error["kind"], error["cause"], [])

    def _hung(self, now: float) -> Failure | None:
        if self.asked is None:
            return None
        missing = [seen for seen in self.seen if seen.answer is None]
        if missing and now - self.asked < min(ANSWER, self._hang):
            return None
        stood = max(seen.age for seen in self.seen)
        culprits, why = find_hung(self.seen)
        frame = (culprits[0].answer or {}).get("frame")
        cause = f"{why} for {stood:.0f} s" + (f", in {frame}" if frame else "")
        return self._failure(culprits[0], "hung", cause, [seen.rank for seen in culprits[1:]], stood=stood)

    def _stands(self, seen: Seen, now: float) -> bool:
        limit = self._hang * PATIENT.get(seen.phase, 1.0)
        return bool(limit) and not seen.done and seen.age + (now - seen.heard) > limit

    def _failure(self, culprit: Seen, kind: str, cause: str, others: Iterable[int], *, stood: float = 0.0) -> Failure:
        step, phase = culprit.step, culprit.phase
        if kind in ("died", "lost"):  # what it said last may be seconds old; the others are in the same step
            step = max(seen.step for seen in self.seen)
            phase = "step" if step else "start"
        return Failure(
            kind=kind, rank=culprit.rank, ranks=len(self.seen), step=step, phase=phase, cause=cause,
            others=tuple(others), time=round(time.time(), 3), stood=round(stood, 1), **culprit.who,
        )  # fmt: skip


def find_hung(ranks: Sequence[Seen]) -> tuple[list[Seen], str]:
    """Who keeps the others waiting, the first one first, and what tells it."""
    silent = [seen for seen in ranks if seen.answer is None]
    if silent:
        return silent, "did not say what it is doing (its process or its interpreter is stopped) and kept the job"
    behind = min(_place(seen) for seen in ranks)
    last = [seen for seen in ranks if _place(seen) == behind]
    if len(last) < len(ranks):
        return last, "the others wait for it"
    outside = [seen for seen in ranks if not (seen.answer or {}).get("collective")]
    if 0 < len(outside) < len(ranks):
        return outside, "the others wait for it in a collective"
    oldest = max(ranks, key=lambda seen: (seen.age, -seen.rank))
    stopped = f"ranks {shown(seen.rank for seen in ranks)}" if len(ranks) > 1 else "it"
    return [oldest], f"{stopped} stand in the same place, and it the longest" if len(ranks) > 1 else "it stood still"


def _place(seen: Seen) -> tuple[int, int]:
    return seen.step, _ORDER.index(seen.phase) if seen.phase in _ORDER else len(_ORDER)


def _moment(seen: Seen) -> float | None:
    """When a rank ended or failed by itself; None if it did not, or only saw others' connections break."""
    if seen.failed is not None:
        return None if (seen.error or {}).get("secondary") else seen.failed
    return None if seen.done else seen.gone
