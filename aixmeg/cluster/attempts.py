"""RUN/restarts.json: every attempt of a run, how far it came, how it ended and what followed.

The batch script of a job writes it through `begin` and `end`. It outlives the job: a run that was submitted again shows
its earlier jobs too, but its failures count anew.
"""

from __future__ import annotations

import datetime
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.files import read_json, write_json

FILE = "restarts.json"


@dataclass(kw_only=True)
class Attempt:
    """One start of the ranks, from the batch script's beginning to its end."""

    job: str
    """SLURM's job id."""
    number: int
    """SLURM's restart count: 0 for the first attempt of a job."""
    nodes: str = ""
    """SLURM's list of its nodes."""
    began: float
    """Seconds since 1970."""
    first_step: int
    """Step of the newest checkpoint at its beginning."""
    ended: float | None = None
    """Seconds since 1970; None while it runs, or when it was lost."""
    step: int | None = None
    """Last step in metrics.jsonl at its end."""
    checkpoint: int | None = None
    """Step of the newest checkpoint at its end."""
    status: int | None = None
    """Exit status of the ranks' launcher."""
    signal: str = ""
    """Signal that reached the batch script, or nothing."""
    kind: str = "running"
    """running, complete, unfit (a node, before the ranks start), asked (a signal before a time limit or a preemption),
    ended (by SLURM or a person), lost (without a word: node down, slurmd killed) or failed."""
    cause: str = ""
    """What the ranks' log says, for people and for telling failures apart."""
    followed: str = ""
    """again, stopped, or nothing."""


def read_attempts(run: Path) -> list[Attempt]:
    """All attempts, oldest first; none where the file is missing.

    Raises:
        UserError: the file is no list of attempts.
    """
    path = run / FILE
    if not path.exists():
        return []
    known = {field.name for field in fields(Attempt)}
    try:
        items: list[dict[str, Any]] = read_json(path)["attempts"]
        return [Attempt(**{name: value for name, value in item.items() if name in known}) for item in items]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not the list of a run's attempts ({error!r}); move it away") from error


def write_attempts(run: Path, attempts: list[Attempt]) -> None:
    """Replace the file, atomically."""
    write_json(run / FILE, {"attempts": [asdict(attempt) for attempt in attempts]})


def now() -> float:
    """Seconds since 1970, to the millisecond."""
    return round(time.time(), 3)


def clock(seconds: float) -> str:
    """Local date and time."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
