"""RUN/failures: what took a training down. One folder for each attempt that failed:

failure.json   the first cause: which rank, where, in which step, of what
rank-N.txt     what rank N was doing: its own error, or the stacks of all of its threads

Whoever makes failure.json speaks for all ranks; the others keep silent. No torch: `aixmeg status` reads it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

FOLDER = "failures"
RECORD = "failure.json"

LEFT = 3
"""Exit status of a rank that leaves because of another one, or because it hung."""

_NEVER = 2**33
"""Seconds since 1970, in the year 2242, and more ranks and steps than there are."""
_VERBS = {"died": "died", "lost": "is lost", "hung": "hung", "raised": "failed", "refused": "failed"}
_PHASES = {"start": "while starting", "step": "in", "data": "in the data of", "end": "behind",
           "forward_backward": "in forward and backward of", "evaluation": "in the evaluation after",
           "checkpoint": "in the checkpoint of"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Who failed first, and of what."""

    kind: str
    """died (its process ended without a word), lost (no sign of life), hung, raised (an exception) or refused (an error
    that is explained: full disk, broken loss)."""
    rank: int
    ranks: int
    """Of the job."""
    host: str = ""
    pid: int = 0
    gpu: int | None = None
    """Index on its node; None on a CPU."""
    step: int = 0
    phase: str = "start"
    cause: str
    """One line."""
    others: tuple[int, ...] = ()
    """Ranks that failed with it, a node's for instance."""
    time: float = 0.0
    """Seconds since 1970."""
    stood: float = 0.0
    """Seconds that the job had stood still when it was noticed."""

    def line(self) -> str:
        """All of it in one line."""
        gpu = "" if self.gpu is None else f", GPU {self.gpu}"
        where = _PHASES.get(self.phase, self.phase)
        step = "" if self.phase == "start" else f" step {self.step}"
        return (
            f"rank {self.rank} of {self.ranks} (host {self.host}, pid {self.pid}{gpu}) {_VERBS[self.kind]} "
            f"{where}{step}: {self.cause}"
        )


def block(failure: Failure, folder: Path | None) -> str:
    """What the log gets, once for all ranks; `folder` is the failure's, None where nothing is kept."""
    lines = [f"aixmeg: {failure.line()}"]
    if failure.others:
        lines.append(f"  with it: ranks {', '.join(map(str, failure.others))}")
    if failure.kind == "hung":
        lines.append("  where a step may take so long, raise watch.hang_timeout")
    if failure.ranks > 1:
        kept = "" if folder is None else f"; what each was doing is in {folder}"
        lines.append(f"  the other ranks leave with status {LEFT}{kept}")
    elif folder is not None:
        lines.append(f"  what it was doing is in {folder}")
    return "\n".join(lines)


def write_failure(folder: Path, failure: Failure) -> bool:
    """Make `folder`/failure.json; False when another rank has. A disk that refuses it makes every rank speak."""
    temporary = folder / f".{RECORD}.{failure.host}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(failure), indent=1, ensure_ascii=False) + "\n")
        os.link(temporary, folder / RECORD)  # whole, and the first one stays
    except FileExistsError:
        return False
    except OSError:
        return not (folder / RECORD).exists()
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return True


def read_failures(run: Path) -> list[Failure]:
    """All failures of a run, oldest first; broken records are left out."""
    found = [_read(path) for path in (run / FOLDER).glob(f"*/{RECORD}")]
    return sorted((failure for failure in found if failure is not None), key=lambda failure: failure.time)


def failure_folder(run: Path, session: str) -> Path:
    """Where the failure of one attempt goes; all of its ranks agreed on `session` when they met."""
    return run / FOLDER / session


def session_name() -> str:
    """A name for this attempt."""
    return time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}"


def from_fields(values: dict[str, Any]) -> Failure:
    """A failure as JSON holds it.

    Raises:
        TypeError: fields are missing.
    """
    known = {field.name for field in fields(Failure)}
    chosen = {name: value for name, value in values.items() if name in known}
    return Failure(**{**chosen, "others": tuple(chosen.get("others", ()))})


def shown(ranks: Iterable[int]) -> str:
    """`0, 3, 4` for people."""
    return ", ".join(map(str, ranks))


def _read(path: Path) -> Failure | None:
    try:
        found = from_fields(json.loads(path.read_bytes()))
        found.line()
        numbers = (found.rank, found.step, found.time, found.stood)
        return found if all(isinstance(one, int | float) and 0 <= one < _NEVER for one in numbers) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
