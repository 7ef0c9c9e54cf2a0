"""What has troubled a run, and what it cost: failures from RUN/failures; slow ranks, saves that failed and damaged
checkpoints from RUN/events.jsonl.

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

_NUMBERS = {"slow": ("rank", "first", "own", "above"), "damaged": ("held",)}
"""What such an event holds beside time and step."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """One of them."""

    kind: str
    """A failure's kind, slow, unsaved (a save that failed), damaged (a checkpoint), or that of an attempt of a job that
    ended early."""
    time: float
    """Seconds since 1970."""
    rank: int | None
    """None where it is no single rank's."""
    host: str
    """Empty where it is no single host's."""
    step: int | None
    """In which it happened; for a slow rank the first, for a checkpoint what it holds. None before any."""
    cause: str
    """One line."""
    steps_lost: int | None = None
    """Steps that were trained again; None while the run has not gone on."""
    seconds: float | None = None
    """What it cost: for a failure the time until the next attempt trained, and that of the steps trained again. None
    while the run has not gone on, or the rank is still slow."""


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a run says of its course."""

    events: Sequence[Event]
    """Of events.jsonl, oldest first."""
    step_seconds: float
    """Mean of a step that counts."""

    @classmethod
    def of(cls, run: Path) -> Past:
        """Read it; what is missing or broken is left out."""
        events = [event for event in read_records(run / "events.jsonl") if _is_event(event)]
        return cls(events=events, step_seconds=_step_seconds(read_records(run / "metrics.jsonl")))

    def way_back(self, time: float, done: int) -> tuple[int | None, float | None]:
        """What an end at `time` after `done` steps cost: steps trained again, and seconds until that many were done
        again; None while the run has not gone on. Steps that a damaged checkpoint held are its own cost."""
        start: float = 0
        held = 0
        for event in self.events:
            if event["time"] > time and event["event"] == "start":
                start, held = event["time"], 0
            if event["event"] == "damaged" and start:
                held = max(held, event["held"])
            if event["time"] > time and event["event"] == "resume":
                lost = max(done - max(event["step"], held), 0)
                return lost, round(event["time"] - time + lost * self.step_seconds, 1)
        return None, None


def read_troubles(run: Path, past: Past | None = None) -> list[Trouble]:
    """All of a run's, oldest first; `past` is the run's where it is known already."""
    past = past or Past.of(run)
    failures = [_failure(failure, past) for failure in read_failures(run)]
    found = [*failures, *_slow(past.events), *_checkpoints(past)]
    return sorted(found, key=lambda trouble: trouble.time)


def _failure(failure: Failure, past: Past) -> Trouble:
    within = failure.phase in ("data", "forward_backward", "step")
    lost, seconds = past.way_back(failure.time, max(failure.step - within, 0))
    if seconds is not None:
        seconds = round(seconds + failure.stood, 1)
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


def _checkpoints(past: Past) -> list[Trouble]:
    """Saves that failed, while the training went on, and checkpoints that a start found damaged."""
    found = []
    for event in past.events:
        if event["event"] == "unsaved":
            found.append(Trouble(kind="unsaved", time=event["time"], rank=None, host="", step=event["step"],
                                 cause=str(event.get("cause")), steps_lost=0, seconds=0.0))  # fmt: skip
        if event["event"] == "damaged":
            lost = max(event["held"] - event["step"], 0)
            found.append(Trouble(kind="damaged", time=event["time"], rank=None, host="", step=event["held"],
                                 cause=str(event.get("cause")), steps_lost=lost,
                                 seconds=round(lost * past.step_seconds, 1)))  # fmt: skip
    return found


def _step_seconds(records: Sequence[dict[str, Any]]) -> float:
    """Mean of the steps that count; each of them is in one record."""
    train = [record for record in records if record.get("kind") == "train"]
    seconds = sum(record["seconds"] for record in train if isinstance(record.get("seconds"), int | float))
    steps = train[-1].get("step", 0) if train else 0
    return seconds / steps if steps else 0.0


def _is_event(event: Event) -> bool:
    numbers = ["time", "step", *_NUMBERS.get(str(event.get("event")), ())]
    return isinstance(event.get("event"), str) and all(
        isinstance(event.get(name), int | float) and 0 <= event[name] < 2**33 for name in numbers
    )
