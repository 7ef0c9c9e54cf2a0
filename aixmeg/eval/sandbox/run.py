"""The outside of the sandbox: start a program, read what it prints, stop it when its time is over, name the outcome.

`namespaces` (Linux 5.12 or newer, as root or where user namespaces are allowed): no network, a read-only file system
with homes and temporary folders hidden, processes that cannot outlive the program, limits on memory, processes, CPU
time, files and output. `limits`: resource limits and refusals inside Python only, for machines that are themselves a
throw-away container; it must be asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from aixmeg.errors import UserError

Mode = Literal["namespaces", "limits"]
Kind = Literal["passed", "failed", "timeout", "memory", "processes", "output", "crashed", "left"]
_LIMIT: Final = {
    "timeout": "{0.wall_seconds} s from start to end", "memory": "{0.memory_bytes} bytes of all processes together",
    "processes": "{0.processes} processes", "output": "{0.output_bytes} bytes printed",
}  # fmt: skip
_JAIL: Final = Path(__file__).with_name("jail.py")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use."""

    cpu_seconds: int = 5
    """CPU time of each of its processes."""
    wall_seconds: float = 20.0
    """From start to end; larger than `cpu_seconds`, for the machine may be busy."""
    memory_bytes: int = 1 << 30
    """Address space of a Python program, and resident memory of all its processes together."""
    file_bytes: int = 32 << 20
    """All files it writes."""
    processes: int = 64
    """Processes and threads at a time."""
    output_bytes: int = 1 << 20
    """Printed text."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a program ended."""

    kind: Kind
    """`failed`: an exception or a non-zero exit status; `left`: it exited before its end; `crashed`: by a signal."""
    detail: str = ""
    """The exception, the signal, or the last line printed."""
    seconds: float = 0.0
    """CPU time."""

    @property
    def passed(self) -> bool:
        """Whether it ran to its end."""
        return self.kind == "passed"


class Sandbox:
    """Runs programs, in as many threads as call it; a context, at whose end nothing is left running.

    With `remember`, a Python program that was run already is not run again.

    Raises:
        UserError: (from every method) the sandbox cannot be set up on this machine.
    """

    def __init__(self, mode: Mode = "namespaces", limits: Limits | None = None, *, remember: bool = False) -> None:
        self.mode, self.limits = mode, limits or Limits()
        self._known: dict[str, Outcome] | None = {} if remember else None
        self._idle: list[_Jail] = []
        self._all: list[_Jail] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        for jail in self._all:
            jail.close()
        self._all.clear()
        self._idle.clear()

    def check(self) -> None:
        """Run a program that does nothing."""
        outcome = self.run_python("")
        if not outcome.passed:
            raise UserError(f"a program that does nothing ended as {outcome.kind} in the sandbox: {outcome.detail}")

    def run_python(self, source: str) -> Outcome:
        """Run a Python program; it passes when its last statement has been executed."""
        if self._known is None:
            return self._run({"source": source, "files": {}, "commands": []})
        # Infilling sets cut one program in many places, and samples repeat each other.
        key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self._known:
            self._known[key] = self._run({"source": source, "files": {}, "commands": []})
        return self._known[key]

    def run_commands(self, files: Mapping[str, str], commands: Sequence[Sequence[str]]) -> Outcome:
        """Write `files` and run `commands` one after the other in their folder; passed when all return 0.

        Raises:
            UserError: also when the mode is `limits`, which knows Python only.
        """
        if self.mode != "namespaces":
            raise UserError("without namespaces only Python programs are run; other languages need namespaces")
        return self._run({"source": "", "files": dict(files), "commands": [list(command) for command in commands]})

    def _run(self, program: dict[str, Any]) -> Outcome:
        with self._lock:
            jail = self._idle.pop() if self._idle else None
        if jail is None:
            jail = _Jail()
            with self._lock:
                self._all.append(jail)
        token = secrets.token_hex(16)
        with tempfile.TemporaryDirectory(prefix="aixmeg-eval-") as folder:
            spec = program | dataclasses.asdict(self.limits) | {
                "mode": self.mode, "token": token, "folder": os.path.realpath(folder), "visible": [sys.base_prefix],
                "path": os.environ.get("PATH", os.defpath),
            }  # fmt: skip
            report = jail.ask(spec)
        with self._lock:
            self._idle.append(jail)
        return _outcome(report, f"P{token}" if not program["commands"] else "", self.limits)


class _Jail:
    """One process of jail.py, which runs one program at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_JAIL)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True, cwd="/",
            env={"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        )  # fmt: skip

    def ask(self, spec: dict[str, Any]) -> dict[str, Any]:
        """The report of one program. The jail itself watches the time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(spec).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"broken": f"its process ended with status {self._process.wait()}"}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"broken": f"its process ended with status {self._process.wait()}"}

    def close(self) -> None:
        """Its end of input is the end of whatever it runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _outcome(report: dict[str, Any], proof: str, limits: Limits) -> Outcome:
    """Name the end. `proof` is what a Python program's runner answers behind its last statement; "" for commands."""
    if "broken" in report:
        raise UserError(
            f"the sandbox cannot be set up on this machine: {report['broken']}; run as root or allow user namespaces, "
            "or, inside a container that you can lose, choose --sandbox limits"
        )
    if "killed" in report:
        return Outcome(kind="crashed", detail="the sandbox's first process was killed, perhaps for want of memory")
    last = report["tail"].strip().rpartition("\n")[2][-300:]
    status, answer, seconds = report["status"], report["answer"], round(report["cpu_seconds"], 3)
    if not proof and status > 128:  # a command's signal, as a shell would say it
        status = 128 - status
    if report["reason"]:
        kind, detail = report["reason"], _LIMIT[report["reason"]].format(limits)
    elif status == 0 and answer == proof:
        kind, detail = "passed", ""
    elif status == -signal.SIGXCPU or (status == -signal.SIGKILL and seconds >= limits.cpu_seconds):
        kind, detail = "timeout", f"{limits.cpu_seconds} s of CPU time"
    elif status < 0:
        kind, detail = "crashed", f"signal {-status}"
    elif answer.startswith("E"):
        kind, detail = "memory" if answer.startswith("EMemoryError") else "failed", answer[1:]
    else:
        kind, detail = "left" if proof else "failed", f"exit status {status} {last}".strip()
    return Outcome(kind=kind, detail=detail, seconds=seconds)
