"""`aixmeg slurm begin` and `aixmeg slurm end`: what the batch script asks before and after its ranks run."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from aixmeg.cluster.attempts import Attempt, now, read_attempts, write_attempts
from aixmeg.cluster.causes import find_cause, find_signal
from aixmeg.cluster.judge import Verdict, judge
from aixmeg.cluster.reading import RunState, read_state
from aixmeg.errors import UserError
from aixmeg.watch.failures import read_failures

COMPLETE, AGAIN, STOPPED, ENDED = 0, 75, 70, 71
"""Exit statuses: nothing is left to do; start again; stay ended (crash loop, too many failures); ended from outside."""
_SKEW = 2.0
"""Seconds that the clocks of a job's nodes may differ."""
_STATUS = {"complete": COMPLETE, "again": AGAIN, "stopped": STOPPED, "ended": ENDED}


def begin(run: Path, *, max_restarts: int) -> int:
    """Note an attempt's beginning; 0 when it may start, else the job's exit status."""
    state, attempts = read_state(run), read_attempts(run)
    job, number = os.environ.get("SLURM_JOB_ID", "none"), int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    before = attempts[-1] if attempts else None
    if before is not None and before.kind == "running":
        _lost(before, state)
        if before.job == job:
            verdict = judge(attempts, max_restarts=max_restarts)
            if verdict.follow == "stopped":
                return say(run, attempts, verdict)
            before.followed = "again"
    attempts.append(
        Attempt(
            job=job, number=number, nodes=os.environ.get("SLURM_JOB_NODELIST", ""), began=now(),
            first_step=state.checkpoint or 0,
        )
    )  # fmt: skip
    _write(run, attempts)
    _print(f"attempt {number} of job {job} on {attempts[-1].nodes}, from step {state.checkpoint or 0}")
    return COMPLETE


def end(run: Path, *, status: int, signal: str, max_restarts: int, log: Path) -> int:
    """Note how an attempt ended and say what follows, as an exit status."""
    state, attempts = read_state(run), read_attempts(run)
    if not attempts or attempts[-1].kind != "running":  # `begin` could not write
        attempts.append(Attempt(job=os.environ.get("SLURM_JOB_ID", "none"), number=0, began=now(), first_step=0))
    last = attempts[-1]
    last.ended, last.status, last.signal = now(), status, signal
    last.step, last.checkpoint = state.step, state.checkpoint or 0
    last.kind, last.cause = _kind(run, state, last, log)
    return say(run, attempts, judge(attempts, max_restarts=max_restarts))


def _kind(run: Path, state: RunState, attempt: Attempt, log: Path) -> tuple[str, str]:
    """What an attempt ended by, and its cause."""
    if state.steps is not None and state.checkpoint == state.steps:
        return "complete", ""
    if attempt.signal == "TERM":
        return "ended", _outside(log, "SIGTERM")
    if attempt.signal:
        return "asked", "SIGUSR1, before a time limit or a preemption"
    if attempt.status == 0:
        return "asked", "a rank was told to stop"
    named = [failure for failure in read_failures(run) if failure.time >= attempt.began - _SKEW]
    if not named:
        return "failed", find_cause(log, attempt.status or 0)
    first = named[-1]
    ended_by = find_signal(log) if first.kind == "died" else None  # the launcher knows what the other ranks cannot
    return "failed", (replace(first, cause=ended_by) if ended_by else first).line()


def _outside(log: Path, otherwise: str) -> str:
    """SLURM ends a job whose node is gone; the log says which one."""
    cause = find_cause(log, 0)
    return cause if cause.startswith("Node failure") else otherwise


def _lost(attempt: Attempt, state: RunState) -> None:
    """Close an attempt whose batch script had no time to say how it ended."""
    attempt.kind, attempt.cause = "lost", f"ended without a word on {attempt.nodes}: node down or slurmd killed"
    attempt.step, attempt.checkpoint = state.step, state.checkpoint or 0


def say(run: Path, attempts: list[Attempt], verdict: Verdict) -> int:
    """Note what follows the last attempt, tell it, and return the exit status that means it."""
    last = attempts[-1]
    last.followed = {"again": "again", "stopped": "stopped"}.get(verdict.follow, "")
    _write(run, attempts)
    _print(f"{verdict.follow}: {verdict.reason}")
    return _STATUS[verdict.follow]


def _write(run: Path, attempts: list[Attempt]) -> None:
    """A full disk must not end a job that could go on: SLURM still counts its restarts."""
    try:
        write_attempts(run, attempts)
    except UserError as error:
        _print(f"restarts.json is not up to date: {error}")


def _print(text: str) -> None:
    print(f"aixmeg: {text}", file=sys.stderr)
