"""Ranks of mpirun that agree on a meeting point over MPI, and one whose mpi4py sees no others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun (apt-get install openmpi-bin)")
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "tcp,self", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
    "OMP_NUM_THREADS": "1", "AIXMEG_BOOTSTRAP": "mpi", "PYTHONPATH": str(Path(__file__).parents[2]),
}  # fmt: skip
MEET = """
import torch
from aixmeg.parallel import launch
found = launch.discover()
launch.start(found)
total = torch.tensor([found.rank + 1])
torch.distributed.all_reduce(total)
print(found.source, found.world_size, total.item(), flush=True)
launch.stop()
"""


def run(*command, **changes):
    return subprocess.run(command, env=ENVIRONMENT | changes, check=False, capture_output=True, text=True, timeout=300)


def test_ranks_meet():
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    result = run("mpirun", "--oversubscribe", "-n", "2", sys.executable, "-c", MEET)
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == ["mpi 2 3", "mpi 2 3"]


def test_ranks_that_mpi4py_does_not_see_are_explained():
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    code = MEET.replace(
        "launch.discover()", "launch.discover({**__import__('os').environ, 'PMI_RANK': '1', 'PMI_SIZE': '2'})"
    )
    result = run(sys.executable, "-c", code)
    assert "mpi4py sees rank 0 of 1, mpirun's variables say 1 of 2" in result.stderr
