"""Rank discovery: every launcher's variables, nested launchers, shells inside allocations, contradictions."""

import dataclasses
import socket
from datetime import timedelta

import pytest
import torch

from aixmeg.errors import UserError
from aixmeg.parallel import launch
from aixmeg.parallel.launch import Launch, discover
from aixmeg.parallel.nodelist import first_host, first_name

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "node7", "MASTER_PORT": "29501",
}  # fmt: skip
OPENMPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "3",
           "OMPI_COMM_WORLD_LOCAL_SIZE": "4", "PMIX_NAMESPACE": "prterun-1"}  # fmt: skip
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2", "PMI_JOBID": "kvs_1"}
ALLOCATION = {"SLURM_JOB_ID": "17", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4",
              "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "localhost,n2"}  # fmt: skip
STEP = ALLOCATION | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
                     "SLURM_STEP_NODELIST": "localhost,n2", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}  # fmt: skip


def place(environment):
    found = discover(environment)
    return found.source, found.rank, found.world_size, found.local_rank, found.master_addr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ("alone", 0, 1, 0, "127.0.0.1")),
        (TORCHRUN, ("torchrun", 5, 8, 1, "node7")),
        (OPENMPI, ("mpi", 3, 4, 3, "127.0.0.1")),
        (MPICH, ("mpi", 1, 2, 1, "127.0.0.1")),
        (STEP, ("slurm", 3, 4, 1, "localhost")),
        (STEP | {"SLURM_STEP_NUM_NODES": "1"}, ("slurm", 3, 4, 1, "127.0.0.1")),
        (STEP | {"MASTER_ADDR": "10.0.0.9"}, ("slurm", 3, 4, 1, "10.0.0.9")),
        # A batch script, and a shell that salloc opened, have SLURM's job variables but are no rank of anything.
        (ALLOCATION, ("alone", 0, 1, 0, "127.0.0.1")),
        (STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, ("alone", 0, 1, 0, "127.0.0.1")),
        ({k: v for k, v in STEP.items() if k != "SLURM_STEP_NUM_TASKS"}, ("alone", 0, 1, 0, "127.0.0.1")),
        # mpirun in a SLURM job starts daemons with srun: SLURM_PROCID is the daemon's.
        (STEP | OPENMPI, ("mpi", 3, 4, 3, "127.0.0.1")),
        (STEP | TORCHRUN, ("torchrun", 5, 8, 1, "node7")),
        (STEP | TORCHRUN | {"GROUP_WORLD_SIZE": "4"}, ("torchrun", 5, 8, 1, "node7")),
        (OPENMPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"} | ALLOCATION, ("mpi", 3, 4, 3, "localhost")),
    ],
)
def test_place_of_a_rank(environment, expected):
    assert place(environment) == expected


@pytest.mark.parametrize("environment", [OPENMPI, MPICH, STEP])
def test_ranks_of_a_job_agree_on_the_port_and_jobs_differ(environment):
    name = {"OMPI_COMM_WORLD_RANK": "PMIX_NAMESPACE", "PMI_RANK": "PMI_JOBID"}.get(
        next(iter(environment)), "SLURM_JOB_ID"
    )
    port = discover(environment).master_port
    assert port == discover(dict(environment)).master_port
    assert port != discover(environment | {name: "another"}).master_port
    assert 20_000 <= port < 32_768
    assert discover(environment | {"MASTER_PORT": "1234"}).master_port == 1234


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0"}, "WORLD_SIZE, MASTER_ADDR, MASTER_PORT is not"),
        (TORCHRUN | {"RANK": "eight"}, "RANK='eight' must be a whole number"),
        (TORCHRUN | {"RANK": "8"}, "rank 8 of 8"),
        (OPENMPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, "MASTER_ADDR.*AIXMEG_BOOTSTRAP=mpi"),
        # Four torchruns under srun, each alone: four trainings into one run directory.
        (STEP | TORCHRUN | {"GROUP_WORLD_SIZE": "1"}, "srun started torchrun 4 times, but they form groups of 1"),
    ],
)
def test_contradictions_are_errors(environment, message):
    with pytest.raises(UserError, match=message):
        discover(environment)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu7", "gpu7"),
        ("gpu[003-007,9],login1", "gpu003"),
        ("a1,b[2-3]", "a1"),
        ("rack[1-2]n[05-8],x", "rack1n05"),
        ("n[01,03]-ib", "n01-ib"),
    ],
)
def test_first_node_of_a_list(nodes, first):
    assert first_name(nodes) == first


@pytest.mark.parametrize("nodes", ["", "n[1-", "n]", "[a]"])
def test_broken_list_is_an_error(nodes):
    with pytest.raises(UserError, match="node list"):
        first_name(nodes)


def test_unresolvable_node_names_the_remedy(monkeypatch):
    monkeypatch.setattr("aixmeg.parallel.nodelist.shutil.which", lambda name: None)
    with pytest.raises(UserError, match=r"'no-such-host\.invalid' does not resolve; set MASTER_ADDR"):
        first_host("no-such-host.invalid")


def gpus(count, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def at(local_rank):
    return Launch(rank=9, world_size=16, local_rank=local_rank, backend="nccl", source="slurm", master_addr="n1",
                  master_port=1)  # fmt: skip


def test_gpu_of_a_rank(monkeypatch):
    gpus(8, monkeypatch)
    assert at(5).device == torch.device("cuda", 5)
    gpus(1, monkeypatch)  # one GPU bound to each task
    assert at(5).device == torch.device("cuda", 0)
    gpus(4, monkeypatch)
    with pytest.raises(UserError, match="local rank 5 has no GPU: 4 are visible"):
        _ = at(5).device


def test_start_alone_needs_no_network(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("connected"))
    launch.start(discover({}))
    assert torch.distributed.get_world_size() == 1
    launch.stop()
    launch.stop()  # twice is harmless
    assert not torch.distributed.is_initialized()


def test_ranks_that_do_not_meet_are_told_so():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # bound, and nobody listens
        missing = dataclasses.replace(
            at(0), rank=1, world_size=2, backend="gloo", master_addr="127.0.0.1", master_port=port
        )
        with pytest.raises(UserError, match=r"rank 1 of 2 \(from slurm\) could not meet the others at 127\.0\.0\.1"):
            launch.start(missing, timeout=timedelta(seconds=2))
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("limits", "ranks", "raised"),
    [((1024, 524_288), 1024, 5120), ((1024, 2048), 1024, 2048), ((65_536, 524_288), 64, None), ((1024, -1), 8, 1056)],
)
def test_open_files_are_allowed_for_every_rank(monkeypatch, limits, ranks, raised):
    asked = []
    monkeypatch.setattr(launch.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(launch.resource, "setrlimit", lambda _, pair: asked.append(pair))
    launch._allow_open_files(ranks)
    assert asked == ([] if raised is None else [(raised, limits[1])])
