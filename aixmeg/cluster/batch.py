"""The batch script of a training, from the site's profile: options, environment, commands, supervision."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aixmeg.config.site import SiteConfig

SUPERVISION = Path(__file__).with_name("supervise.sh")
_TORCHRUN = (
    'exec "$0" -m torch.distributed.run --nnodes="$SLURM_STEP_NUM_NODES" --node-rank="$SLURM_NODEID" '
    '--master-addr="$MASTER_ADDR" --master-port="$MASTER_PORT" "$@"'
)
"""Static ranks: the rendezvous of torchrun would number the nodes as they come."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training as a job."""

    run: Path
    """Run directory, absolute; holds config.yaml."""
    nodes: int
    """Nodes of the job."""
    python: str
    """Python of the ranks, and outside a container that of the batch script."""


def render(job: Job, site: SiteConfig) -> str:
    """The whole batch script."""
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {word}" for word in _options(job, site)),
        "# Written by `aixmeg slurm submit`; submit it again with sbatch: it goes on from the newest checkpoint.",
        "# shellcheck disable=SC2016 # what stands in single quotes is meant as it is, or expanded by the nodes",
        "set -uo pipefail",
        f"umask {site.umask}",
        f"run={shlex.quote(str(job.run))}",
        f"max_restarts={site.max_restarts}",
        f"health_seconds={site.health_seconds}",
        "",
        *_site(site),
        *_commands(job, site),
        "",
        SUPERVISION.read_text(encoding="utf-8"),
    ]
    return "\n".join(lines)


def _options(job: Job, site: SiteConfig) -> Iterator[str]:
    """Words for sbatch, in the script's head."""
    yield f"--job-name={_quoted('aixmeg-' + job.run.name)}"
    yield f"--nodes={job.nodes}"
    per_node = 1 if site.launcher == "torchrun" else site.ranks
    yield f"--ntasks-per-node={per_node}"
    yield f"--cpus-per-task={site.cpus_per_rank * site.ranks // per_node}"
    if site.gpus_per_node and site.gpu_option != "none":
        kind = f"{site.gpu_type}:" if site.gpu_type else ""
        prefix = "--gres=gpu:" if site.gpu_option == "gres" else "--gpus-per-node="
        yield f"{prefix}{kind}{site.gpus_per_node}"
    yield f"--time={site.time}"
    if site.signal_seconds:
        yield f"--signal=B:USR1@{site.signal_seconds}"
    for name, value in (
        ("partition", site.partition), ("account", site.account), ("qos", site.qos),
        ("reservation", site.reservation), ("constraint", site.constraint), ("mem", site.memory),
        ("exclude", ",".join(site.exclude) or None),
    ):  # fmt: skip
        if value is not None:
            yield f"--{name}={_quoted(value)}"
    if site.exclusive:
        yield "--exclusive"
    yield "--requeue"
    yield "--open-mode=append"
    yield f"--output={_quoted(str(job.run / 'logs' / 'slurm-%j.log'))}"
    yield from map(_quoted, site.sbatch_options)


def _site(site: SiteConfig) -> Iterator[str]:
    """Modules, variables and set-up lines."""
    if site.modules:
        yield "module purge"
        yield from (f"module load {shlex.quote(name)}" for name in site.modules)
    yield "export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1"
    yield from (f"export {name}={shlex.quote(value)}" for name, value in site.environment.items())
    yield from site.setup


def _commands(job: Job, site: SiteConfig) -> Iterator[str]:
    """`tool`, `health` and `launch`, the commands of the supervision."""
    inside = tuple(_apptainer(site))
    yield _array("tool", [*_single(site), *inside, job.python, "-m", "aixmeg"])
    yield _array("health", [*_looked_from(job, site), *inside, job.python, *_looking(site)])
    yield _array("launch", [*_launcher(job, site), *inside, *_training(job, site)])


def _launcher(job: Job, site: SiteConfig) -> Iterator[str]:
    """Words that start one process per rank, or per node for torchrun."""
    ranks = job.nodes * site.ranks
    if site.launcher == "mpirun":
        yield from ("mpirun", "-n", str(ranks), "--map-by", f"ppr:{site.ranks}:node", *site.mpirun_options)
        return
    per_node = 1 if site.launcher == "torchrun" else site.ranks
    yield from (
        "srun", f"--nodes={job.nodes}", f"--ntasks={job.nodes * per_node}", f"--ntasks-per-node={per_node}",
        f"--cpus-per-task={site.cpus_per_rank * site.ranks // per_node}", "--kill-on-bad-exit=1", "--label",
        "--overlap",  # a step of the attempt before, whose end SLURM has not heard of, must not keep this one waiting
    )  # fmt: skip
    if site.mpi is not None:
        yield f"--mpi={site.mpi}"
    yield from site.srun_options
    yield from _pyxis(site)


def _training(job: Job, site: SiteConfig) -> Iterator[str]:
    """What each of those processes runs."""
    train = ("-m", "aixmeg", "train", "--config", str(job.run / "config.yaml"), "--resume")
    if site.launcher != "torchrun":
        yield from (job.python, *train)
        return
    seconds = max(site.signal_seconds, 30)
    yield from (
        "bash", "-c", _TORCHRUN, job.python, f"--nproc-per-node={site.ranks}",
        "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1", f"--shutdown-timeout={seconds}", *train,
    )  # fmt: skip


def _looked_from(job: Job, site: SiteConfig) -> Iterator[str]:
    """Words that start one process per rank, or on each node for the quick look."""
    per_node = 1 if site.health == "quick" else site.ranks
    yield from ("srun", f"--nodes={job.nodes}", f"--ntasks={job.nodes * per_node}", f"--ntasks-per-node={per_node}",
                "--label", "--overlap", "--cpus-per-task=1")  # fmt: skip
    yield from _pyxis(site)


def _looking(site: SiteConfig) -> Iterator[str]:
    """What each of those processes runs."""
    yield from ("-m", "aixmeg", "health")
    yield "--quick" if site.health == "quick" else f"--timeout={max(site.health_seconds // 2, 1)}"
    if site.gpus_per_node:
        yield f"--gpus-per-node={site.gpus_per_node}"


def _single(site: SiteConfig) -> Iterator[str]:
    """What stands before a command that is no rank: Pyxis shows its image to steps alone."""
    if site.container.kind == "pyxis":
        yield from ("srun", "--nodes=1", "--ntasks=1", "--overlap", *_pyxis(site))


def _apptainer(site: SiteConfig) -> Iterator[str]:
    if site.container.kind == "apptainer":
        default = ("--nv",) if site.gpus_per_node else ()
        yield from ("apptainer", "exec", *(site.container.options or default))
        yield from (f"--bind={mount}" for mount in site.container.mounts)
        yield site.container.image


def _pyxis(site: SiteConfig) -> Iterator[str]:
    if site.container.kind == "pyxis":
        yield f"--container-image={site.container.image}"
        if site.container.mounts:
            pairs = [mount if ":" in mount else f"{mount}:{mount}" for mount in site.container.mounts]
            yield f"--container-mounts={','.join(pairs)}"
        yield from site.container.options


def _array(name: str, words: Sequence[str]) -> str:
    # A comma is nothing to bash, but shellcheck takes it for a mistake between an array's elements.
    quoted = (f"'{word}'" if "," in word and shlex.quote(word) == word else shlex.quote(word) for word in words)
    return f"{name}=({' '.join(quoted)})"


def _quoted(value: str) -> str:
    """In `#SBATCH` lines sbatch itself takes quotes away, and nothing else."""
    return f'"{value}"' if any(letter.isspace() for letter in value) else value
