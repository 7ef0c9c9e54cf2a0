"""Goodput: the share of the wall time since a run's first start that went into steps which still count.

RUN/events.jsonl only grows. Each event closes a piece of work: the steps since the event before it, and the seconds
they took. A process that starts, or goes back, at step s throws away every piece that ends after s: these steps are
trained again, and what they took is lost. So the file alone tells the goodput of a run over any number of crashes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from aixmeg.files import write_error
from aixmeg.train.together import on_rank_zero

Event = dict[str, Any]

_PIECE_SECONDS = 60.0
"""Longest piece without an event: what a crash may leave unaccounted."""


@dataclass
class Ledger:
    """What a run's time went into, in seconds; `add` takes its events in order."""

    begun: float | None = None
    """Unix time of the first start."""
    newest: float = 0.0
    """Time of the newest event."""
    kept: list[tuple[int, float]] = field(default_factory=list)
    """Last step and seconds of each piece that counts."""
    spent: dict[str, float] = field(default_factory=dict)
    """`lost` (steps trained again), `evaluation`, `checkpoint`, `starting` (a process before its first step), `away`
    (no process: between an event and the next start)."""
    starts: int = 0
    _productive: float = 0.0

    def add(self, event: Event) -> None:
        """Take in one event."""
        kind, now, step = event["event"], float(event["time"]), int(event["step"])
        if self.begun is None:
            self.begun = self.newest = now
        if event.get("seconds"):
            self.kept.append((step, float(event["seconds"])))
            self._productive += float(event["seconds"])
        if kind == "start":
            self.starts += 1
            self._spend("away", now - self.newest)
        if kind in ("resume", "rollback"):
            self._throw_away(int(event.get("to", step)))
        if kind in _SPENT:
            self._spend(_SPENT[kind], float(event.get("took", 0.0)))
        self.newest = max(self.newest, now)

    def productive(self) -> float:
        """Seconds of the steps that still count."""
        return self._productive

    def share(self, now: float, running: float = 0.0) -> float:
        """Goodput at `now`, with `running` seconds of steps that no event has told yet."""
        wall = now - (self.begun if self.begun is not None else now)
        return min((self._productive + running) / wall, 1.0) if wall > 0 else 0.0

    def _throw_away(self, step: int) -> None:
        lost = sum(seconds for last, seconds in self.kept if last > step)
        self.kept = [piece for piece in self.kept if piece[0] <= step]
        self._productive -= lost
        self._spend("lost", lost)

    def _spend(self, what: str, seconds: float) -> None:
        self.spent[what] = self.spent.get(what, 0.0) + max(seconds, 0.0)


_SPENT = {"evaluation": "evaluation", "checkpoint": "checkpoint", "resume": "starting", "rollback": "lost"}


def read_events(path: Path) -> Iterator[Event]:
    """The events of a run; lines that a kill or a full disk left unfinished are passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                event = json.loads(line)
                if event["event"] and float(event["time"]) >= 0 and int(event["step"]) >= 0:
                    yield event


def ledger(events: Iterable[Event]) -> Ledger:
    """All events of a run, added up."""
    found = Ledger()
    for event in events:
        found.add(event)
    return found


class Events:
    """Rank 0's events.jsonl, each line on disk before the next step.

    Args:
        folder: run directory.
        begun: Unix time at which this process began.

    Raises:
        UserError: the disk refuses a write.
    """

    def __init__(self, folder: Path, *, begun: float, ranks: int) -> None:
        self.path = folder / "events.jsonl"
        self.ledger = ledger(read_events(self.path))
        self._running, self._begun, self._told = 0.0, begun, time.monotonic()
        try:
            self._file: IO[bytes] = self.path.open("ab")
            if _unfinished(self.path):
                self._file.write(b"\n")  # the end of a line that a kill cut off
        except OSError as error:
            raise write_error(self.path, error) from error
        self._write({"event": "start", "time": begun, "step": 0, "ranks": ranks, "host": socket.gethostname()})

    def ready(self, step: int) -> None:
        """The first step follows; training goes on from `step`."""
        now = time.time()
        self._write({"event": "resume", "time": now, "step": step, "took": round(now - self._begun, 3)})

    def step(self, step: int, seconds: float) -> None:
        """A step has been trained."""
        self._running += seconds
        if time.monotonic() - self._told >= _PIECE_SECONDS:
            self.tell("steps", step)

    def tell(self, event: str, step: int, **more: Any) -> None:
        """Something happened after `step`: evaluation and checkpoint (with `took`), rollback (with `to`, `reason`),
        stop (with `reason`)."""
        self._told = time.monotonic()
        seconds, self._running = round(self._running, 4), 0.0
        piece = {"seconds": seconds} if seconds else {}
        self._write({"event": event, "time": time.time(), "step": step, **piece, **more})

    def goodput(self) -> float:
        """Share of the wall time until now."""
        return self.ledger.share(time.time(), self._running)

    def summary(self) -> str:
        """One line for the log."""
        wall = time.time() - (self.ledger.begun or time.time())
        parts = [f"{name} {seconds:,.0f} s" for name, seconds in sorted(self.ledger.spent.items()) if seconds >= 0.5]
        starts = f", {self.ledger.starts} starts" if self.ledger.starts > 1 else ""
        rest = f" ({', '.join(parts)})" if parts else ""
        return f"goodput {self.goodput():.1%} of {wall:,.0f} s since the first start{starts}{rest}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        event["time"] = round(event["time"], 3)
        self.ledger.add(event)
        try:
            self._file.write(json.dumps(event).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error


def _unfinished(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


@contextlib.contextmanager
def open_events(folder: Path, *, rank: int, begun: float, ranks: int) -> Iterator[Events | None]:
    """Rank 0's events, closed at the end; None on other ranks. Collective."""
    opened: list[Events] = []
    on_rank_zero(lambda: opened.append(Events(folder, begun=begun, ranks=ranks)))
    try:
        yield opened[0] if rank == 0 else None
    finally:
        for events in opened:
            events.close()
