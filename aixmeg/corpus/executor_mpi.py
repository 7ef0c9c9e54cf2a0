"""Shards over MPI ranks: `mpirun -n N python -m mpi4py.futures -m aixmeg corpus build …`.

Rank 0 runs the build, the others wait for shards. Without `-m mpi4py.futures` every rank would run the whole build, so
that is refused. A rank does its shards in a child process: a parser that crashes ends the child, not the MPI job.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aixmeg.corpus.job import Job
from aixmeg.corpus.mpi_ranks import futures_started
from aixmeg.corpus.run_shards import Progress, run_shards
from aixmeg.errors import UserError

_START = "mpirun -n N python -m mpi4py.futures -m aixmeg corpus build …"
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS")


def check_mpi() -> None:
    """Raise unless this is rank 0 of a job that was started through mpi4py.futures.

    Raises:
        UserError: mpi4py or its MPI library is missing, or the ranks were started in another way.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: no libmpi
        raise UserError(
            f"corpus.executor.kind=mpi needs mpi4py and an MPI library ({error}); install aixmeg[mpi] and, for "
            "instance, Debian's openmpi-bin, or use kind=pool"
        ) from error
    if MPI.COMM_WORLD.Get_size() < 2 or not futures_started():
        raise UserError(
            f"corpus.executor.kind=mpi, but {MPI.COMM_WORLD.Get_size()} ranks were started without mpi4py.futures, so "
            f"that each would do the whole build; start it as `{_START}` with N of 2 or more"
        )


@contextlib.contextmanager
def opened_mpi(job: Job) -> Iterator[MpiRanks]:
    """The ranks of this MPI job, from its rank 0; see `check_mpi`."""
    from mpi4py import futures

    with futures.MPIPoolExecutor() as pool:
        yield MpiRanks(pool, job)


class MpiRanks:
    """An executor over the ranks of a pool."""

    def __init__(self, pool: Any, job: Job) -> None:
        self._pool, self._job = pool, job

    def run(self, phase: str, todo: Sequence[int], progress: Progress) -> None:
        """Do the shards `todo`, one at a time per rank."""
        from concurrent.futures import as_completed

        shards = max(self._job.shards(phase), 1)
        size = self._job.described()["bytes"]
        waiting = [self._pool.submit(_do, str(self._job.folder), phase, shard) for shard in todo]
        try:
            for count, future in enumerate(as_completed(waiting), 1):
                future.result()
                progress(size * count // shards)
        finally:
            for future in waiting:
                future.cancel()


def _do(job_folder: str, phase: str, shard: int) -> None:
    """In a rank: one shard, in a child process of its own."""
    for name in _SIZES:  # the child is no rank
        os.environ.pop(name, None)
    run_shards(Path(job_folder), phase, [shard], workers=1)
