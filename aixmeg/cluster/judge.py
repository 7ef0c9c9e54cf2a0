"""Is another attempt worth it? Failures that repeat are told from new ones.

1. The training is complete: no.
2. The job was ended from outside (SIGTERM: scancel, or SLURM, which then requeues by itself): not by us.
3. The same failure as the last one, at the same step and with the same message: no, a third time would be like it.
   What kills from outside (SIGKILL, a node down) carries no message and is not judged by this.
4. No new checkpoint in so many attempts in a row, for whatever reason: no.
5. More failures than `max_restarts`: no.
6. Otherwise: yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aixmeg.cluster.attempts import Attempt
from aixmeg.cluster.causes import same_cause

STALLED = 5
"""Attempts in a row without a new checkpoint that end a job."""
FAILURES = ("failed", "lost")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What follows an attempt."""

    follow: Literal["complete", "again", "stopped", "ended"]
    reason: str


def judge(attempts: Sequence[Attempt], *, max_restarts: int) -> Verdict:
    """What follows the last of `attempts`, which has ended; earlier jobs' attempts do not count."""
    last = attempts[-1]
    mine = [attempt for attempt in attempts if attempt.job == last.job]
    if last.kind == "complete":
        return Verdict(follow="complete", reason=f"complete at step {last.step}")
    if last.kind == "ended":
        return Verdict(follow="ended", reason="ended from outside (SIGTERM); SLURM decides whether it starts again")
    failures = [attempt for attempt in mine if attempt.kind in FAILURES]
    if last.kind == "failed" and _is_repeated(failures):
        return Verdict(
            follow="stopped",
            reason=f"crash loop: failed twice at step {last.step} for the same reason: {last.cause}; mend it, then "
            "submit again",
        )
    if len(mine) >= STALLED and all(_stands(attempt) for attempt in mine[-STALLED:]):
        return Verdict(
            follow="stopped",
            reason=f"no new checkpoint in {STALLED} attempts, last one: {last.cause or last.kind}; save more often "
            "(train.save_interval), ask for more time, or look at the logs",
        )
    if len(failures) > max_restarts:
        return Verdict(
            follow="stopped",
            reason=f"{len(failures)} failures, more than max_restarts={max_restarts}; last one: {last.cause}",
        )
    return Verdict(follow="again", reason=f"goes on from step {last.checkpoint} ({last.cause or last.kind})")


def _is_repeated(failures: Sequence[Attempt]) -> bool:
    """Whether the last two failures are one and the same."""
    if len(failures) < 2 or failures[-2].kind != "failed":
        return False
    before, last = failures[-2:]
    return before.step == last.step and same_cause(before.cause, last.cause)


def _stands(attempt: Attempt) -> bool:
    return attempt.checkpoint is not None and attempt.checkpoint <= attempt.first_step
