"""The site profile: what a cluster wants to be told, in one YAML file beside the training's configuration.

The same training runs on another cluster with another profile. Examples: slurm/profiles/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSAFE = re.compile(r"[\s'\"`$\\]")
_UMASK = re.compile(r"0?[0-7]{3}")


@dataclass(frozen=True, kw_only=True)
class ContainerConfig:
    """The image that the ranks run in; the batch script itself runs outside it."""

    kind: Literal["none", "apptainer", "pyxis"] = "none"
    """none: the host's Python. apptainer: `apptainer exec` in front of each rank. pyxis: options of srun (enroot)."""
    image: str = ""
    """A .sif or .sqsh file, or an image's address; empty without a container."""
    mounts: tuple[str, ...] = ()
    """Folders to show inside, as `/scratch` or `/scratch:/data`; run directory and data must be among them."""
    options: tuple[str, ...] = ()
    """More words: for `apptainer exec` (default `--nv` where there are GPUs), or for srun."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, one sentence each."""
        if self.kind != "none" and not self.image:
            yield f"{where}.kind={self.kind} needs {where}.image"
        if self.kind == "none" and (self.image or self.mounts or self.options):
            yield f"{where}.image, mounts and options are set, but {where}.kind is none; set it to apptainer or pyxis"


@dataclass(frozen=True, kw_only=True)
class SiteConfig:
    """How jobs are submitted and started on one cluster."""

    partition: str | None = None
    """Partition; null takes the cluster's default."""
    account: str | None = None
    """Account that pays; null takes the user's default."""
    qos: str | None = None
    """Quality of service; null takes the default."""
    reservation: str | None = None
    """Reservation to run in; null means none."""
    constraint: str | None = None
    """Features that nodes must have, as `h100&ib`; null means any."""
    exclude: tuple[str, ...] = ()
    """Nodes never to run on, as `gpu[003,017]`; `aixmeg health` prints such a list."""
    time: str = "24:00:00"
    """Time limit: minutes, hours:minutes:seconds or days-hours."""
    signal_seconds: int = 300
    """Seconds before the time limit at which the training is asked to save and stop; 0 means no warning."""
    gpus_per_node: int = 8
    """GPUs of a node, each with its rank; 0 trains on CPUs."""
    gpu_option: Literal["gpus-per-node", "gres", "none"] = "gpus-per-node"
    """How GPUs are asked for; none where whole nodes are given."""
    gpu_type: str | None = None
    """Type in that option, as `h100`; null means any."""
    ranks_per_node: int | None = None
    """Ranks of a node; null means one per GPU, and 1 on CPUs."""
    cpus_per_rank: int = 8
    """Cores of a rank."""
    memory: str | None = None
    """Memory of a node, as `512G`, or `0` for all; null takes the default."""
    exclusive: bool = False
    """Ask for whole nodes."""
    sbatch_options: tuple[str, ...] = ()
    """More words for sbatch, each with its value: `--mail-type=END`."""
    srun_options: tuple[str, ...] = ()
    """More words for srun, as `--cpu-bind=cores`."""
    launcher: Literal["srun", "torchrun", "mpirun"] = "srun"
    """srun: a task per rank. torchrun: a task per node, which starts its ranks. mpirun: the MPI library's."""
    mpi: str | None = None
    """Plugin for `srun --mpi`, as `pmix`; null takes the cluster's default."""
    mpirun_options: tuple[str, ...] = ()
    """More words for mpirun."""
    modules: tuple[str, ...] = ()
    """Environment modules to load, in order; what was loaded before is purged."""
    setup: tuple[str, ...] = ()
    """Lines of bash before the ranks start: Spack, EasyBuild, `source …/activate`. A key is read here from a file."""
    python: str | None = None
    """Python that has aixmeg, on nodes or in the container; null takes the submitting one, `python` in a container."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the ranks: NCCL, network, caches. No secrets: the batch script holds them."""
    container: ContainerConfig = field(default_factory=ContainerConfig)
    umask: str = "077"
    """Permissions that files of the run directory do not have: 077 leaves them to their owner, 027 shows the group."""
    max_restarts: int = 20
    """Restarts of a job after failures before it stays ended; preemptions and time limits do not count."""

    health_seconds: int = 120
    """Time limit of the look at every node before the ranks start; 0 leaves it out. Ranks wait for each other half as
    long, without the time that Python takes to start."""
    health: Literal["full", "quick"] = "full"
    """What is looked at. full: every rank's node by NVML (as many GPUs as `gpus_per_node`), a matrix product, an
    all-reduce of all ranks. quick: NVML alone, by one process of each node."""

    @property
    def ranks(self) -> int:
        """Ranks of a node."""
        return self.ranks_per_node or self.gpus_per_node or 1

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, one sentence each."""
        prefix = f"{where}." if where else ""
        yield from self._numbers(prefix)
        yield from self._words(prefix)
        if self.mpi is not None and self.launcher != "srun":
            yield f"{prefix}mpi={self.mpi} is an option of srun; set {prefix}launcher=srun, or remove it"
        if self.container.kind != "none" and self.launcher == "mpirun":
            yield (
                f"{prefix}launcher=mpirun does not start containers; set {prefix}launcher=srun and {prefix}mpi=pmix, "
                f"or {prefix}container.kind=none"
            )
        yield from self.container.problems(f"{prefix}container")

    def _numbers(self, prefix: str) -> Iterator[str]:
        for name in ("signal_seconds", "gpus_per_node", "max_restarts", "health_seconds"):
            if getattr(self, name) < 0:
                yield f"{prefix}{name}={getattr(self, name)} must be zero or more"
        for name in ("ranks_per_node", "cpus_per_rank"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                yield f"{prefix}{name}={value} must be positive"
        if self.gpus_per_node > 0 and (self.ranks_per_node or 0) > self.gpus_per_node:
            yield (
                f"{prefix}ranks_per_node={self.ranks_per_node} exceeds {prefix}gpus_per_node={self.gpus_per_node}; "
                "a rank needs a GPU of its own"
            )
        if not _TIME.fullmatch(self.time):
            yield f"{prefix}time={self.time!r} is no time limit; write 90 (minutes), 24:00:00 or 7-00:00:00"
        if not _UMASK.fullmatch(self.umask):
            yield f"{prefix}umask={self.umask!r} must be three octal digits, as 077 or 027"

    def _words(self, prefix: str) -> Iterator[str]:
        for name in ("sbatch_options", "srun_options"):
            if alone := [word for word in getattr(self, name) if not word.startswith("-")]:
                yield f"{prefix}{name} holds {alone[0]!r}; write option and value as one word, --mail-type=END"
        for name in self.environment:
            if not _NAME.fullmatch(name):
                yield f"{prefix}environment holds {name!r}, which is no name of a variable"
        for name in ("partition", "account", "qos", "reservation", "constraint", "gpu_type", "memory"):
            value = getattr(self, name)
            if value is not None and _UNSAFE.search(value or " "):
                yield f"{prefix}{name}={value!r} must be a word without spaces and quotes, or null"
