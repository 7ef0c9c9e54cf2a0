"""Who does the shards of a corpus build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Who does the shards of a corpus build; the output does not depend on it."""

    kind: Literal["pool", "mpi", "slurm"] = "pool"
    """pool: processes of this machine. mpi: the ranks of `mpirun -n N python -m mpi4py.futures -m aixmeg corpus build`.
    slurm: a job array per phase, submitted and watched from here."""
    array_tasks: int = 64
    """Most tasks of a job array; each takes an equal part of the shards (slurm)."""
    cpus_per_task: int = 4
    """Cores and worker processes of an array task (slurm)."""
    sbatch_options: tuple[str, ...] = ()
    """More words for sbatch, as `--partition=cpu` or `--time=4:00:00` (slurm)."""
    retries: int = 2
    """How often the shards that a job array left undone are submitted again (slurm)."""
    poll_seconds: float = 5.0
    """Time between two looks at the queue (slurm)."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, one sentence each."""
        for name in ("array_tasks", "cpus_per_task", "poll_seconds"):
            if getattr(self, name) <= 0:
                yield f"{where}.{name}={getattr(self, name)} must be positive"
        if self.retries < 0:
            yield f"{where}.retries={self.retries} must be zero or more"
        if alone := [word for word in self.sbatch_options if not word.startswith("-")]:
            yield f"{where}.sbatch_options holds {alone[0]!r}; write option and value as one word, --time=4:00:00"
