"""`aixmeg status RUN`: how far a run is, what restarted it, when it will be done. Only reads, also while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aixmeg.cluster.attempts import Attempt, clock, read_attempts
from aixmeg.cluster.reading import JOBS, RunState, read_state
from aixmeg.cluster.troubles import read_all_troubles
from aixmeg.errors import UserError
from aixmeg.files import read_records

_RECENT = 50
"""Records that the speed is taken from."""


def status(run: Path, *, as_json: bool) -> None:
    """Print the status of a run, for people or as one JSON object.

    Raises:
        UserError: `run` is no folder.
    """
    if not run.is_dir():
        raise UserError(f"{run} is no folder; name the run directory of a training")
    found = describe(run, now=time.time())
    print(json.dumps(found, indent=1) if as_json else "\n".join(_lines(found)))


def describe(run: Path, *, now: float) -> dict[str, Any]:
    """What is known of a run; None for what is not known (yet). Times in seconds, `now` since 1970."""
    state = read_state(run)
    try:
        attempts = read_attempts(run)
    except UserError:  # nothing is refused here; `begin` of the next job tells
        attempts = []
    jobs = read_records(run / JOBS)
    last = state.train[-1] if state.train else {}
    return {
        "run": str(run),
        "state": _state(state, attempts),
        "step": state.step,
        "steps": state.steps,
        "checkpoint": state.checkpoint,
        "loss": last.get("loss"),
        "grad_norm": last.get("grad_norm"),
        "valid": {name: value for name, value in (state.valid or {}).items() if name != "kind"} or None,
        "tokens": last.get("tokens"),
        "tokens_per_second": last.get("tokens_per_second"),
        "eta": _eta(state),
        "last_record": _changed(run / "metrics.jsonl"),
        **_goodput(state, attempts, now, last.get("goodput")),
        "job": jobs[-1].get("job") if jobs else None,
        "attempts": len(attempts),
        "restarts": [_restart(attempt) for attempt in attempts if attempt.kind not in ("running", "complete")],
        "troubles": [asdict(trouble) for trouble in read_all_troubles(run)],
    }


def _state(state: RunState, attempts: list[Attempt]) -> str:
    """One word."""
    if state.steps is not None and state.checkpoint == state.steps:
        return "complete"
    if not attempts:
        return "started" if state.step is not None else "waiting"
    last = attempts[-1]
    if last.kind == "running":
        return "running"
    return {"again": "waiting", "stopped": "stopped"}.get(last.followed, "ended")


def _eta(state: RunState) -> float | None:
    """Seconds of training that are left, at the speed of the newest records."""
    if state.steps is None or state.step is None:
        return None
    recent = [r for r in state.train[-_RECENT - 1 :] if isinstance(r.get("seconds"), int | float)]
    if len(recent) < 2:
        return None
    steps = recent[-1]["step"] - recent[0]["step"]
    seconds = sum(record["seconds"] for record in recent[1:])
    return round(seconds / steps * (state.steps - state.step), 1) if steps > 0 else None


def _goodput(state: RunState, attempts: list[Attempt], now: float, recorded: float | None) -> dict[str, float | None]:
    """Share of the time since the first attempt, and of the time with nodes, that went into steps that count; where no
    batch script notes attempts, what the newest record says."""
    if not attempts:
        return {"goodput": recorded, "goodput_allocated": None, "productive_seconds": None}
    productive = sum(r["seconds"] for r in state.train if isinstance(r.get("seconds"), int | float))
    ends = [*(attempt.began for attempt in attempts[1:]), now]
    spent = [(attempt.ended or later) - attempt.began for attempt, later in zip(attempts, ends, strict=True)]
    whole = (attempts[-1].ended or now) - attempts[0].began
    return {
        "goodput": round(productive / whole, 4) if whole > 0 else None,
        "goodput_allocated": round(productive / sum(spent), 4) if sum(spent) > 0 else None,
        "productive_seconds": round(productive, 1),
    }


def _restart(attempt: Attempt) -> dict[str, Any]:
    lost = None if attempt.step is None or attempt.checkpoint is None else max(attempt.step - attempt.checkpoint, 0)
    return {
        "job": attempt.job, "attempt": attempt.number, "nodes": attempt.nodes, "began": attempt.began,
        "ended": attempt.ended, "kind": attempt.kind, "cause": attempt.cause, "step": attempt.step,
        "checkpoint": attempt.checkpoint, "steps_lost": lost, "followed": attempt.followed,
    }  # fmt: skip


def _changed(path: Path) -> float | None:
    try:
        return round(path.stat().st_mtime, 1)
    except OSError:
        return None


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """The status for people."""
    steps = "?" if found["steps"] is None else f"{found['steps']:,}"
    step = 0 if found["step"] is None else found["step"]
    share = f" ({step / found['steps']:.1%})" if found["steps"] else ""
    yield f"{found['run']}: {found['state']}, step {step:,} of {steps}{share}"
    if found["loss"] is not None:
        norm = f", gradient norm {found['grad_norm']:.3f}" if found["grad_norm"] is not None else ""
        yield f"  loss        {found['loss']:.4f}{norm}"
    if found["valid"]:
        shown = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in found["valid"].items()
                 if isinstance(value, float)]  # fmt: skip
        yield f"  held out    {', '.join(shown)} (step {found['valid'].get('step')})"
    if found["tokens_per_second"] is not None:
        yield f"  speed       {found['tokens_per_second']:,.0f} tokens/s, {found['tokens'] or 0:,} tokens so far"
    if found["eta"] is not None and found["state"] != "complete":
        yield f"  ETA         {duration(found['eta'])} of training"
    if found["last_record"] is not None:
        yield f"  last record {clock(found['last_record'])}"
    checkpoint = "none" if found["checkpoint"] is None else f"step {found['checkpoint']:,}"
    yield f"  checkpoint  {checkpoint}"
    if found["goodput"] is not None:
        nodes = found["goodput_allocated"]
        share = "" if nodes is None else f", {nodes:.1%} of the time with nodes"
        yield f"  goodput     {found['goodput']:.1%} of the time since the first start{share}"
    if found["job"] is not None:
        yield f"  job         {found['job']}, {found['attempts']} attempts"
    for one in found["troubles"]:
        yield f"  {clock(one['time'])}  {one['cause']}{_cost(one)}"


def _cost(trouble: dict[str, Any]) -> str:
    """What a trouble cost, behind its cause."""
    again = f", {trouble['steps_lost']} steps done again" if trouble["steps_lost"] else ""
    return again if trouble["seconds"] is None else f"{again}, {duration(trouble['seconds'])} lost"


def duration(seconds: float) -> str:
    """`2 d 3:04:05`."""
    days, rest = divmod(round(seconds), 86_400)
    text = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {text}" if days else text
