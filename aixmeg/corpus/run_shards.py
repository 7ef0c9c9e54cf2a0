"""Shards of a phase in this machine's processes: what each of many machines does of a corpus build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from aixmeg.corpus.executor import Workers
from aixmeg.corpus.job import Job
from aixmeg.corpus.phases import FUNCTIONS

Progress = Callable[[int], None]
"""Called with the number of bytes of source done so far, as well as it is known."""


def run_shards(job_folder: Path, phase: str, shards: Sequence[int], *, workers: int) -> None:
    """Do shards of a phase in this machine's processes, as an array task or an MPI rank does.

    Raises:
        UserError: as of `Executor.run`.
    """
    job = Job(job_folder)
    todo = [shard for shard in shards if not job.done(phase, shard).exists()]
    with Workers(workers, max_file_bytes=job.config().max_file_bytes) as pool:
        pool.run(FUNCTIONS[phase], job.folder, todo, lambda _: None)
