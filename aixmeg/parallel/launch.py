"""Which rank this process is, under torchrun, mpirun, srun or alone, and the start of torch.distributed.

Sources are tried in an order that nesting allows: torchrun and mpirun run inside SLURM jobs, where SLURM's own rank
variables describe their parent (under mpirun `SLURM_PROCID` is the daemon's, the same for all ranks of a node).
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed

from aixmeg.errors import UserError
from aixmeg.parallel.mpi_bootstrap import agree
from aixmeg.parallel.nodelist import first_host

Environment = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One process among `world_size`."""

    rank: int
    """Position among all processes."""
    world_size: int
    """Number of processes."""
    local_rank: int
    """Position among the processes of this node: the index of its GPU."""
    backend: str
    """nccl with CUDA, else gloo."""
    source: str
    """What told us: torchrun, mpi, slurm or alone."""
    master_addr: str
    """Where rank 0 listens."""
    master_port: int
    """Its port; 0 when alone: nothing listens then."""

    @property
    def device(self) -> torch.device:
        """The device that this rank computes on.

        Raises:
            UserError: the node has fewer GPUs than ranks.
        """
        if self.backend != "nccl":
            return torch.device("cpu")
        count = torch.cuda.device_count()
        if count == 1:  # a scheduler that binds one GPU to each task shows every task its own as number 0
            return torch.device("cuda", 0)
        if self.local_rank >= count:
            raise UserError(
                f"local rank {self.local_rank} has no GPU: {count} are visible; start at most {count} ranks per node"
            )
        return torch.device("cuda", self.local_rank)


def discover(environment: Environment = os.environ) -> Launch:
    """Rank, size and meeting point from the environment.

    Raises:
        UserError: the variables contradict each other, or name no meeting point for several nodes.
    """
    source, found = "alone", (0, 1, 0, ("127.0.0.1", 0))
    for name, find in _SOURCES:
        seen = find(environment)
        if seen is not None:
            source, found = name, seen
            break
    rank, world_size, local_rank, (address, port) = found
    if not 0 <= rank < world_size:
        raise UserError(f"rank {rank} of {world_size} (from {source}) is impossible; unset its variables to run alone")
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    return Launch(
        rank=rank, world_size=world_size, local_rank=local_rank, backend=backend, source=source,
        master_addr=address, master_port=port,
    )  # fmt: skip


def start(
    launch: Launch,
    *,
    timeout: timedelta = timedelta(minutes=10),
    store: torch.distributed.Store | None = None,  # pyright: ignore[reportPrivateImportUsage]
) -> None:
    """Initialise torch.distributed and select this rank's device.

    Args:
        launch: who this rank is.
        timeout: of the meeting, and of every collective after it.
        store: where the ranks have met already; None lets them meet at `launch`'s address.

    Raises:
        UserError: the ranks did not meet within `timeout`.
    """
    # One queue keeps megatron-core's communication ahead of the kernels that it overlaps with (GPUs before Blackwell).
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    _allow_open_files(launch.world_size)
    device = launch.device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    bound = device if device.type == "cuda" else None
    if launch.master_addr in ("127.0.0.1", "localhost"):
        _stay_on_loopback()
    if launch.world_size == 1:
        store = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage] (no socket, no port)
        hook = sys.excepthook
        torch.distributed.init_process_group(
            launch.backend, store=store, rank=0, world_size=1, timeout=timeout, device_id=bound
        )
        sys.excepthook = hook  # torch's prefixes every line with the rank, and nests each time it is installed
        return
    where = None if store is not None else f"tcp://{launch.master_addr}:{launch.master_port}"
    try:
        torch.distributed.init_process_group(
            launch.backend, init_method=where, store=store, rank=launch.rank, world_size=launch.world_size,
            timeout=timeout, device_id=bound,
        )  # fmt: skip
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"rank {launch.rank} of {launch.world_size} (from {launch.source}) could not meet the others at "
            f"{launch.master_addr}:{launch.master_port}: {error}; set MASTER_ADDR and MASTER_PORT to an address that "
            "every node reaches and a free port"
        ) from error


def _allow_open_files(ranks: int) -> None:
    """A gloo group of all ranks opens a connection to each of them: at 1,024 ranks that is the usual soft limit. Raised
    to what a few groups need, or to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * ranks + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stop() -> None:
    """Leave torch.distributed, if it was started."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


Found = tuple[int, int, int, tuple[str, int]]


def _torchrun(environment: Environment) -> Found | None:
    if "RANK" not in environment:
        return None
    missing = [name for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise UserError(
            f"RANK={environment['RANK']} is set but {', '.join(missing)} is not; start with torchrun, or unset RANK"
        )
    rank = _integer(environment, "RANK")
    local_rank = _integer(environment, "LOCAL_RANK") if "LOCAL_RANK" in environment else rank
    _refuse_strangers(environment)
    return rank, _integer(environment, "WORLD_SIZE"), local_rank, _explicit(environment)


def _refuse_strangers(environment: Environment) -> None:
    """Several torchruns of one srun that do not know of each other would each train the whole model into one run."""
    if not {"SLURM_STEP_NUM_TASKS", "GROUP_WORLD_SIZE"} <= environment.keys():
        return
    tasks, known = _integer(environment, "SLURM_STEP_NUM_TASKS"), _integer(environment, "GROUP_WORLD_SIZE")
    if tasks > 1 and known != tasks:
        raise UserError(
            f"srun started torchrun {tasks} times, but they form groups of {known}: start one per node "
            f"(--ntasks-per-node=1), each with --nnodes={tasks} and one --master-addr, or start the training without "
            "torchrun, one task per GPU"
        )


def _mpi(environment: Environment) -> Found | None:
    for rank, size, local in (
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),  # MPICH, Intel MPI
    ):
        if rank in environment and size in environment:
            world_size = _integer(environment, size)
            local_size = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") or environment.get("MPI_LOCALNRANKS")
            one_node = local_size is not None and int(local_size) == world_size
            local_rank = _integer(environment, local) if local in environment else 0
            job = environment.get("PMIX_NAMESPACE") or environment.get("PMI_JOBID") or str(os.getppid())
            number = _integer(environment, rank)
            if environment.get("AIXMEG_BOOTSTRAP") == "mpi":
                return number, world_size, local_rank, agree(number, world_size)
            return number, world_size, local_rank, _meeting_point(environment, job, one_node)
    return None


def _slurm(environment: Environment) -> Found | None:
    # A batch script and a shell inside an allocation have SLURM_PROCID too; only a step started by srun has tasks.
    if not {"SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"} <= environment.keys():
        return None
    world_size = _integer(environment, "SLURM_STEP_NUM_TASKS")
    if world_size == 1:
        return None
    job = f"{environment.get('SLURM_JOB_ID', '')}.{environment['SLURM_STEP_ID']}"
    one_node = environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES")) == "1"
    local_rank = _integer(environment, "SLURM_LOCALID") if "SLURM_LOCALID" in environment else 0
    return _integer(environment, "SLURM_PROCID"), world_size, local_rank, _meeting_point(environment, job, one_node)


_SOURCES: tuple[tuple[str, Callable[[Environment], Found | None]], ...] = (
    ("torchrun", _torchrun),
    ("mpi", _mpi),
    ("slurm", _slurm),
)


def _meeting_point(environment: Environment, job: str, one_node: bool) -> tuple[str, int]:
    """MASTER_ADDR and MASTER_PORT, else loopback on one node, else the first node of the SLURM step."""
    port = _integer(environment, "MASTER_PORT") if "MASTER_PORT" in environment else _port(job)
    if "MASTER_ADDR" in environment:
        return environment["MASTER_ADDR"], port
    if one_node:
        return "127.0.0.1", port
    hosts = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    if not hosts:
        raise UserError(
            "ranks on several nodes need a meeting point: set MASTER_ADDR to the first node's address and MASTER_PORT "
            "to a free port there (with mpirun: -x MASTER_ADDR=… -x MASTER_PORT=…), or AIXMEG_BOOTSTRAP=mpi, to let "
            "mpi4py agree on one"
        )
    return first_host(hosts), port


def _port(job: str) -> int:
    """A port that all ranks of a job compute alike and two jobs on one node hardly ever share; below the range that
    Linux gives to outgoing connections (32768 and up)."""
    return 20_000 + zlib.crc32(job.encode()) % 12_000


def _explicit(environment: Environment) -> tuple[str, int]:
    return environment["MASTER_ADDR"], _integer(environment, "MASTER_PORT")


def _integer(environment: Environment, name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise UserError(f"{name}={environment[name]!r} must be a whole number; correct it or unset it") from None


def _stay_on_loopback() -> None:
    """Gloo would resolve the host's name and listen on that interface; one node needs only the loopback one."""
    if any(name == "lo" for _, name in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("TP_SOCKET_IFNAME", "lo")
