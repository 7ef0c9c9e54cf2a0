"""Faults of a training that runs as a job, inflicted from outside, each with the end of its own cause: a node that goes
down comes back, a full disk is emptied. Nothing else helps the training."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slurm_training import ranks_of, state, wait_for

from aixmeg.files import read_records
from aixmeg.train.folders import find_latest, list_checkpoints


@dataclass(frozen=True)
class Target:
    """The training that is hit."""

    lab: Any
    run: Path
    job: str
    nodes: int
    ranks: int
    random: random.Random


@dataclass(frozen=True)
class Fault:
    """One way to disturb a training."""

    inflict: Callable[[Target], str]
    """Returns what was hit, for people."""
    reported: str
    """Regular expression of the cause that the run must report."""
    restarts: bool = True
    """Whether the training starts again; if not, it goes on."""


def events(run: Path, kind: str) -> int:
    """How many of a kind the run has noted."""
    return sum(event.get("event") == kind for event in read_records(run / "events.jsonl"))


def all_ranks(target: Target) -> list[int]:
    """All ranks, once they are there."""
    wait_for(lambda: len(ranks_of(target.run)) >= target.ranks, target.run)
    return ranks_of(target.run)


def hit(target: Target, number: signal.Signals) -> str:
    """A signal to a rank by chance."""
    rank = target.random.randrange(target.ranks)
    os.kill(all_ranks(target)[rank], number)
    return f"rank {rank}"


def kill_rank(target: Target) -> str:
    """SIGKILL."""
    return hit(target, signal.SIGKILL)


def stop_rank(target: Target) -> str:
    """SIGSTOP: a process that hangs without a word. Nobody continues it."""
    return hit(target, signal.SIGSTOP)


def warn(target: Target) -> str:
    """What SLURM sends before a time limit."""
    target.lab.run("scancel", "--signal=USR1", "--batch", target.job)
    return "batch script"


def preempt(target: Target) -> str:
    """A job of a higher partition takes all nodes for a second; SLURM warns ours and requeues it."""
    script = target.run.parent / "preempting.sh"
    script.write_text("#!/bin/bash\nsleep 1\n")
    target.lab.run("sbatch", "--partition=high", f"--nodes={target.nodes}", "--exclusive", "--output=/dev/null", script)
    return "job"


def requeue(target: Target) -> str:
    """SLURM takes the nodes away without a warning."""
    target.lab.run("scontrol", "requeue", target.job)
    return "job"


def node_down(target: Target) -> str:
    """A node is marked down, and comes back once SLURM has taken the job off."""
    node = f"n{target.random.randint(1, target.nodes)}"
    target.lab.run("scontrol", "update", f"nodename={node}", "state=down", "reason=soak")
    wait_for(lambda: state(target.lab, target.job) != "RUNNING", target.run)
    target.lab.run("scontrol", "update", f"nodename={node}", "state=resume")
    return node


def kill_slurmd(target: Target) -> str:
    """SIGKILL to a node's daemon; what it had started lives on. It is started again when SLURM has given it up."""
    node = f"n{target.random.randint(1, target.nodes)}"
    target.lab.stop(node, signal.SIGKILL)
    wait_for(lambda: state(target.lab, target.job) != "RUNNING", target.run)
    target.lab.start_node(node)
    return node


def kill_slurmd_and_rank(target: Target) -> str:
    """A node that loses its power: the daemon and the rank that it had started."""
    number = target.random.randint(1, target.nodes)
    ranks = all_ranks(target)
    target.lab.stop(f"n{number}", signal.SIGKILL)
    os.kill(ranks[(number - 1) * target.ranks // target.nodes], signal.SIGKILL)
    wait_for(lambda: state(target.lab, target.job) != "RUNNING" or len(ranks_of(target.run)) == 0, target.run)
    target.lab.start_node(f"n{number}")
    return f"n{number}"


def in_save(target: Target, number: signal.Signals) -> str:
    """A signal to a rank while a checkpoint is being written."""
    rank = target.random.randrange(target.ranks)
    process = all_ranks(target)[rank]
    wait_for(lambda: any((target.run / "checkpoints").glob(".step-*.tmp")), target.run, pause=0.0005)
    os.kill(process, number)
    return f"rank {rank}"


def kill_in_save(target: Target) -> str:
    """SIGKILL."""
    return in_save(target, signal.SIGKILL)


def terminate_in_save(target: Target) -> str:
    """SIGTERM to one rank: all save and leave."""
    return in_save(target, signal.SIGTERM)


@contextlib.contextmanager
def full_disk(process: int, limit: int) -> Iterator[None]:
    """Writes of a running process past `limit` bytes of a file fail."""
    before = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(process, resource.RLIMIT_FSIZE, before)


def fill_disk(target: Target) -> str:
    """Rank 0, which writes the checkpoints of data-parallel ranks, cannot, until the run says so."""
    process, known = all_ranks(target)[0], events(target.run, "unsaved")
    with full_disk(process, (target.run / "metrics.jsonl").stat().st_size + 200_000):
        wait_for(lambda: events(target.run, "unsaved") > known, target.run, seconds=120)
    return "rank 0"


def corrupt_newest(target: Target) -> str:
    """A byte of the newest checkpoint is turned, then a rank is killed before the next one is there."""
    before = len(list_checkpoints(target.run))
    newest = find_latest(target.run)
    wait_for(lambda: find_latest(target.run) != newest and before, target.run, pause=0.002)
    ranks = all_ranks(target)
    folder = find_latest(target.run)
    assert folder is not None
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.kill(ranks[-1], signal.SIGKILL)
    return folder.name


_DIED = r"died|Killed|without a word"
FAULTS = {
    "kill -9 of a rank": Fault(kill_rank, _DIED),
    "hung rank": Fault(stop_rank, r"no sign of life|did not say|hung"),
    "warning before the time limit": Fault(warn, r"SIGUSR1"),
    "preemption": Fault(preempt, r"SIGUSR1"),
    "requeue without a warning": Fault(requeue, r"SIGTERM|ended without a word|" + _DIED),
    "node down": Fault(node_down, r"Node failure|node down|SIGTERM|" + _DIED),
    "kill -9 of slurmd": Fault(kill_slurmd, r"Node failure|slurmd killed|SIGTERM|" + _DIED),
    "kill -9 of slurmd and rank": Fault(kill_slurmd_and_rank, r"Node failure|slurmd killed|SIGTERM|" + _DIED),
    "kill -9 during a save": Fault(kill_in_save, _DIED),
    "SIGTERM during a save": Fault(terminate_in_save, r"told to stop|SIGTERM"),
    "full disk": Fault(fill_disk, r"cannot save the checkpoint", restarts=False),
    "corrupt newest checkpoint": Fault(corrupt_newest, r"is damaged"),
}
"""Name → how."""
