"""What has troubled a run, and what it cost: failures from RUN/failures, slow ranks from RUN/events.jsonl.

Only reads, also while the run goes on: files may be missing, and their last lines half-written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aixmeg.files import read_records
from aixmeg.watch.failures import Failure, read_failures

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One of them."""

    kind: str
    """A failure's kind, or slow."""
    time: float
    """Seconds since 1970."""
    rank: int
    host: str
    """Empty for slow ranks."""
    step: int
    """In which it happened; for a slow rank the first one."""
    cause: str
    """One line."""
    steps_lost: int | None = None
    """Steps that were trained again; None while the run has not gone on."""
    seconds: float | None = None
    """What it cost: for a failure the time until the next attempt trained, and that of the steps trained again. None
    while the run has not gone on, or the rank is still slow."""


def read_troubles(run: Path) -> list[Trouble]:
    """All of a run's, oldest first."""
    events = [event for event in read_records(run / "events.jsonl") if _is_event(event)]
    step_seconds = _step_seconds(read_records(run / "metrics.jsonl"))
    failures = [_failure(failure, events, step_seconds) for failure in read_failures(run)]
    return sorted([*failures, *_slow(events)], key=lambda trouble: trouble.time)


def _failure(failure: Failure, events: Sequence[Event], step_seconds: float) -> Trouble:
    lost, seconds = None, None
    later = [event for event in events if event["event"] == "resume" and event["time"] > failure.time]
    if later:
        within = failure.phase in ("data", "forward_backward", "step")
        lost = max(failure.step - within - later[0]["step"], 0)
        seconds = round(later[0]["time"] - failure.time + failure.stood + lost * step_seconds, 1)
    return Trouble(
        kind=failure.kind, time=failure.time, rank=failure.rank, host=failure.host, step=failure.step,
        cause=failure.line(), steps_lost=lost, seconds=seconds,
    )  # fmt: skip


def _slow(events: Sequence[Event]) -> list[Trouble]:
    """Each time that a rank was slow. One whose process ended meanwhile has no cost."""
    found: list[Trouble] = []
    for number, event in enumerate(events):
        if event["event"] != "slow":
            continue
        ends = (other for other in events[number + 1 :] if other["event"] in ("slow", "no_longer_slow", "start"))
        end = next((other for other in ends if other["event"] == "start" or other.get("rank") == event["rank"]), {})
        cause = (
            f"rank {event['rank']} was slow from step {event['first']} on: its own part of a step took "
            f"{1000 * event['own']:.1f} ms, {1000 * event['above']:.1f} more than the median rank's"
        )
        found.append(
            Trouble(
                kind="slow", time=event["time"], rank=event["rank"], host="", step=event["first"], cause=cause,
                steps_lost=0, seconds=end.get("cost"),
            )
        )  # fmt: skip
    return found


def _step_seconds(records: Sequence[dict[str, Any]]) -> float:
    """Mean of the steps that count; each of them is in one record."""
    train = [record for record in records if record.get("kind") == "train"]
    seconds = sum(record["seconds"] for record in train if isinstance(record.get("seconds"), int | float))
    steps = train[-1].get("step", 0) if train else 0
    return seconds / steps if steps else 0.0


def _is_event(event: Event) -> bool:
    numbers = ["time", "step", *(("rank", "first", "own", "above") if event.get("event") == "slow" else ())]
    return isinstance(event.get("event"), str) and all(
        isinstance(event.get(name), int | float) and 0 <= event[name] < 2**33 for name in numbers
    )
