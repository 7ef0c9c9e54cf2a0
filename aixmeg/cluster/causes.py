"""Why an attempt ended, from its ranks' log: the first line that explains, not the last one that complains. It is read
where RUN/failures has no word of the ranks' own watch: before they have met, and where the launcher was faster.

When one rank dies the others break off too, each with an error of its own, and srun reports all of them. So lines are
taken by rank of explanation: an error of ours, a node that failed, an exception, a task that was killed, and only then
connections that broke.
"""

from __future__ import annotations

import re
from pathlib import Path

_TAIL = 4_000_000
"""Bytes of a log that are read, from its end."""
_LABEL = r"^(?:\s*\d+: )?"
_CONNECTION = re.compile(r"[Cc]onnection|Broken pipe|ECONN|[Tt]imed? ?out|NCCL|gloo|[Ss]ocket|DistBackendError|peer")
_SIGNALS = (
    re.compile(r"srun: error: (?P<cause>\S+: tasks? [\d,-]+: (?:Killed|Segmentation fault|Bus error|Aborted|Out Of "
               r"Memory|Illegal instruction|Floating point exception).*)"),
    re.compile(r"(?P<cause>[Pp]rocess rank \d+ .*exited on signal \d+.*)"),  # Open MPI
)  # fmt: skip
_EXPLAINS = (
    re.compile(_LABEL + r"aixmeg: (?P<cause>.+)"),
    re.compile(r"(?P<cause>Node failure on \S+)"),
    re.compile(_LABEL + r"(?P<cause>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b(?:: .*)?)$"),
    *_SIGNALS,
)  # fmt: skip
_LAUNCHER = re.compile(r"srun: error: (?P<cause>(?!.*Exited with exit code).+)")
_OUTSIDE = re.compile(r"Node failure|: Killed|signal 9|exit status 137|without a word|no sign of life")
_LONGEST = 400


def find_cause(log: Path, status: int) -> str:
    """One line for an attempt that ended with `status`; `exit status N` where the log explains nothing."""
    lines = _read(log)
    broken = ""
    for pattern in _EXPLAINS:
        for line in lines:
            match = pattern.search(line)
            if match is None:
                continue
            cause = match["cause"].strip()[:_LONGEST]
            if _CONNECTION.search(cause) and not line.lstrip("0123456789: ").startswith("aixmeg:"):
                broken = broken or cause
                continue
            return cause
    return broken or _of_launcher(lines) or f"exit status {status}"


def _of_launcher(lines: list[str]) -> str:
    """The first complaint of a launcher that could not start the ranks, or nothing."""
    found = (match["cause"].strip()[:_LONGEST] for line in lines if (match := _LAUNCHER.match(line)) is not None)
    return next(found, "")


def find_signal(log: Path) -> str | None:
    """What the launcher says of a task that a signal ended; None where it says nothing."""
    for pattern in _SIGNALS:
        for line in _read(log):
            if (match := pattern.search(line)) is not None:
                return match["cause"].strip()[:_LONGEST]
    return None


def same_cause(one: str, other: str) -> bool:
    """Whether two causes are one, whatever numbers, hosts and addresses they name. Kills from outside never are."""
    if _OUTSIDE.search(one) or _OUTSIDE.search(other):
        return False
    return _without_numbers(one) == _without_numbers(other)


def _without_numbers(cause: str) -> str:
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "#", cause)


def _read(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _TAIL, 0))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
