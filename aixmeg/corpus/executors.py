"""Who does the shards of a phase: processes here, MPI ranks, or a SLURM job array.

Whoever it is, a shard is done by `run_shards` in worker processes that may crash without taking more than one file with
them, and its completion marker decides whether it is done: never an exit status.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from aixmeg.config import CorpusConfig
from aixmeg.corpus.executor import Workers
from aixmeg.corpus.job import Job
from aixmeg.corpus.mpi_ranks import refuse_repeats
from aixmeg.corpus.phases import FUNCTIONS
from aixmeg.corpus.run_shards import Progress


class Executor(Protocol):
    """Does shards of a phase."""

    def run(self, phase: str, todo: Sequence[int], progress: Progress) -> None:
        """Do the shards `todo`, in any order.

        Raises:
            UserError: a shard cannot be done; what is done stays done.
        """
        ...


class _Pool:
    def __init__(self, workers: Workers, job: Job) -> None:
        self._workers, self._job = workers, job

    def run(self, phase: str, todo: Sequence[int], progress: Progress) -> None:
        self._workers.run(FUNCTIONS[phase], self._job.folder, todo, progress)


@contextlib.contextmanager
def opened_executor(config: CorpusConfig, job: Job) -> Iterator[Executor]:
    """The executor that the configuration names, for all phases of one build.

    Raises:
        UserError: it cannot be had here, or was not started as it must be.
    """
    if config.executor.kind == "mpi":
        from aixmeg.corpus.executor_mpi import opened_mpi

        with opened_mpi(job) as executor:
            yield executor
    elif config.executor.kind == "slurm":
        from aixmeg.corpus.executor_slurm import SlurmArrays

        yield SlurmArrays(config.executor, job)
    else:
        with Workers(config.workers, max_file_bytes=config.max_file_bytes) as workers:
            yield _Pool(workers, job)


def check_executor(config: CorpusConfig) -> None:
    """Before anything is touched: whether the executor can work here.

    Raises:
        UserError: it cannot, with the remedy.
    """
    if config.executor.kind == "mpi":
        from aixmeg.corpus.executor_mpi import check_mpi

        check_mpi()
    else:
        refuse_repeats("corpus build --corpus.executor.kind mpi", alone="corpus.workers")
