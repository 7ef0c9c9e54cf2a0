"""Everything that has troubled a run, each once: what its ranks tell, and what its batch scripts tell of attempts.

An attempt that ended early and the failure that its ranks name are one trouble; a preemption, a node that went down or
a job that was ended from outside are known to the batch script alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aixmeg.cluster.attempts import Attempt, read_attempts
from aixmeg.errors import UserError
from aixmeg.watch.troubles import Past, Trouble, read_troubles

_OF_RANKS = ("died", "lost", "hung", "raised", "refused")
_SKEW = 2.0
"""Seconds that the clocks of a job's nodes may differ."""


def read_all_troubles(run: Path) -> list[Trouble]:
    """All of a run's, oldest first; files that are missing or broken are left out."""
    past = Past.of(run)
    troubles = read_troubles(run, past)
    try:
        attempts = read_attempts(run)
    except UserError:  # `begin` of the next job tells
        attempts = []
    for number, attempt in enumerate(attempts):
        if attempt.kind in ("running", "complete"):
            continue
        until = attempts[number + 1].began if number + 1 < len(attempts) else float("inf")
        named = [place for place, trouble in enumerate(troubles)
                 if trouble.kind in _OF_RANKS and attempt.began - _SKEW <= trouble.time < until - _SKEW]  # fmt: skip
        if named:
            troubles[named[0]] = replace(troubles[named[0]], cause=_both(attempt, troubles[named[0]]))
        else:
            troubles.append(_end(attempt, past, until))
    return sorted(troubles, key=lambda trouble: trouble.time)


def _both(attempt: Attempt, trouble: Trouble) -> str:
    """One cause of what the batch script and the ranks say: it knows signals and nodes, they know who and where."""
    if attempt.kind == "failed":
        return attempt.cause or trouble.cause
    return f"{attempt.cause}; {trouble.cause}"


def _end(attempt: Attempt, past: Past, until: float) -> Trouble:
    """An attempt of which the ranks name no failure."""
    time = _moment(attempt, past, until)
    lost, seconds = past.way_back(time, attempt.step or 0)
    if lost is None and attempt.step is not None and attempt.checkpoint is not None:
        lost = max(attempt.step - attempt.checkpoint, 0)  # it has not gone on yet
    return Trouble(
        kind=attempt.kind, time=time, rank=None, host=attempt.nodes, step=attempt.step,
        cause=f"{attempt.kind} at step {attempt.step}: {attempt.cause}", steps_lost=lost, seconds=seconds,
    )  # fmt: skip


def _moment(attempt: Attempt, past: Past, until: float) -> float:
    """When it last trained: its stop, else its end, else the last that was heard of it."""
    mine: Sequence[float] = [event["time"] for event in past.events if attempt.began <= event["time"] < until]
    stops = [event["time"] for event in past.events if event["event"] == "stop" and event["time"] in mine]
    return (stops or ([attempt.ended] if attempt.ended is not None else mine) or [attempt.began])[-1]
