"""What this process is doing: the stacks of all threads, and where its main thread stands; and which process it is."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

_COLLECTIVE = ("torch/distributed/", "megatron/core/distributed/", "pipeline_parallel/p2p_communication")
"""Files whose innermost frame means that the rank waits for others."""


def write_stacks(path: Path, heading: str) -> None:
    """Append the stacks of all threads, the innermost frame first; a disk that refuses them is no further failure."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{heading}\n")
            file.flush()
            faulthandler.dump_traceback(file=file, all_threads=True)


def write_text(path: Path, text: str) -> None:
    """Append an error; a disk that refuses it is no further failure."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def main_place() -> dict[str, Any]:
    """The main thread's innermost frame: `frame` (file, line and function), and `collective`: whether it waits for
    other ranks there."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None:
        return {}
    name = frame.f_code.co_filename
    short = "/".join(Path(name).parts[-2:])
    return {
        "frame": f"{frame.f_code.co_name} ({short}:{frame.f_lineno})",
        "collective": any(part in name for part in _COLLECTIVE),
    }


def own_process(host: str) -> str | None:
    """`process_key` of this process."""
    return process_key(host, pid_namespace(), os.getpid())


def process_key(host: str, namespace: str, pid: int) -> str | None:
    """Names a process of this node for good: a later one with its pid has another key. None where there is no /proc."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None
    return f"{host} {namespace} {pid} {started}"


def put_down(process: str) -> None:
    """Kill the process that `process_key` named, if it is another one of this node and still there."""
    host, namespace, pid, _ = process.split(" ")
    here = (os.uname().nodename, pid_namespace()) == (host, namespace) and int(pid) != os.getpid()
    if here and process_key(host, namespace, int(pid)) == process:
        with contextlib.suppress(OSError):
            os.kill(int(pid), signal.SIGKILL)


def pid_namespace() -> str:
    """A container's process ids are not the node's."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
