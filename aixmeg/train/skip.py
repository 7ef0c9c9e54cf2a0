"""Samples that are left out of the training, and the file of the run directory that remembers them.

The order of all other samples stays: a step takes the samples that it would have taken had those of the windows never
been in the dataset. RUN/skipped.jsonl has a line per window, written before the training goes on, so that every restart
leaves the same ones out; a file that is there before the first step counts from the first step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_jsonl

FILE = "skipped.jsonl"
Event = dict[str, Any]


@dataclass(frozen=True)
class Skipped:
    """Windows of samples, each from its first to before its last number; ascending, none touching another."""

    windows: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for (start, stop), (following, _) in pairwise((*self.windows, (2**62, 2**62))):
            if not 0 <= start < stop < following:
                raise ValueError(f"windows {self.windows} must be ascending and apart")

    def sample(self, position: int) -> int:
        """The sample at a place of the order without the windows."""
        for start, stop in self.windows:
            if position < start:
                break
            position += stop - start
        return position

    def samples(self, positions: range) -> Sequence[int]:
        """The samples at neighbouring places; a range unless a window lies between them."""
        if not positions:
            return range(0)
        whole = range(self.sample(positions[0]), self.sample(positions[-1]) + 1)
        return whole if len(whole) == len(positions) else [self.sample(position) for position in positions]


def merge(windows: Iterable[Sequence[int]]) -> Skipped:
    """Windows in any order, which may overlap."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted((int(start), int(stop)) for start, stop in windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return Skipped(tuple(merged))


def read_events(run: Path) -> list[Event]:
    """The lines of RUN/skipped.jsonl: {"start", "stop", …}; none without the file.

    Raises:
        UserError: a line is damaged.
    """
    path = run / FILE
    if not path.exists():
        return []
    events = list(read_jsonl(path))
    for event in events:
        if not isinstance(event, dict) or not 0 <= event.get("start", -1) < event.get("stop", 0):
            raise UserError(f'{path}: {event!r} is no window; a line is {{"start": SAMPLE, "stop": SAMPLE}}')
    return events


def read_skipped(run: Path) -> Skipped:
    """What the run leaves out."""
    return merge((event["start"], event["stop"]) for event in read_events(run))


def append_event(run: Path, event: Event) -> None:
    """Add a window, durably.

    Raises:
        UserError: the disk refuses it; the file is as it was.
    """
    lines = [json.dumps(one, ensure_ascii=False) for one in (*read_events(run), event)]
    with atomic_write(run / FILE) as file:
        file.writelines(line + "\n" for line in lines)
