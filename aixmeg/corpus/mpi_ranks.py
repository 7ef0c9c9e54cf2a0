"""Ranks that mpirun or srun started for work that one process does, or shares out.

`mpirun -n N python -m mpi4py.futures -m aixmeg …` runs the command on rank 0 and lets the others wait for work. Without
`-m mpi4py.futures` every rank would do the whole stage, into the same files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from aixmeg.errors import UserError


def futures_started() -> bool:
    """Whether this process was started by `python -m mpi4py.futures`, whose other ranks serve this one. mpi4py has no
    public question for it; who was not started so has not loaded it either."""
    core = sys.modules.get("mpi4py.futures._core")
    return getattr(core, "SharedPool", None) is not None


def refuse_repeats(command: str, *, alone: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise where this process is one of several that would all do what ranks can share.

    Args:
        command: what the user started, as `data build`.
        alone: what to set for several processes without MPI.

    Raises:
        UserError: names the number of processes, and how to start them.
    """
    futures = f"`mpirun -n {{count}} python -m mpi4py.futures -m aixmeg {command} …`"
    refuse_copies(
        f"aixmeg {command}",
        remedy=f"share it out with {futures}, or start one process and set {alone}",
        environment=environment,
    )


def refuse_copies(command: str, *, remedy: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise where this process is one of several that would all do the same, into the same files.

    Args:
        command: what the user started, whole.
        remedy: what to do instead; `{count}` in it stands for the number of processes.

    Raises:
        UserError: names the number of processes, and the remedy.
    """
    count = _started(environment)
    if count > 1 and not futures_started():
        raise UserError(
            f"{count} processes were started, and each of them would do the whole `{command}`; "
            + remedy.replace("{count}", str(count))
        )


def _started(environment: Mapping[str, str]) -> int:
    """Processes that mpirun or srun started together with this one; a batch script itself is none of srun's."""
    names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]
    if {"SLURM_STEP_ID", "SLURM_PROCID"} <= environment.keys():
        names.append("SLURM_STEP_NUM_TASKS")
    return max((int(value) for name in names if (value := environment.get(name, "")).isdigit()), default=1)
