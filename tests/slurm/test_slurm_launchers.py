"""`aixmeg train` under every launcher: the same two ranks, the same numbers, bit for bit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_training import ROOT, logs, numbers, state, submit, wait_for
from soak import OVER
from train_ranks import TP2, changed, make_inputs, read_metrics, tiny_config, train_ranks

from aixmeg.config import ParallelConfig, dump_config

pytestmark = pytest.mark.timeout(600)
STEPS = 5
LAUNCHERS = {  # the first lines belong to the profile's environment
    "srun, a task per rank": "launcher: srun\n",
    "srun, a task per node with torchrun": "launcher: torchrun\n",
    "mpirun": "launcher: mpirun\n",
    "mpirun, bootstrap by mpi4py": "  AIXMEG_BOOTSTRAP: mpi\nlauncher: mpirun\n",
    "srun --mpi=pmix, bootstrap by mpi4py": "  AIXMEG_BOOTSTRAP: mpi\nlauncher: srun\nmpi: pmix\n",
}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Dataset, configuration, and the numbers of two ranks that torch's own variables describe."""
    root = tmp_path_factory.mktemp("launchers")
    make_inputs(root)
    config = tiny_config(root, TP2, steps=STEPS, save_interval=0, eval_interval=0)
    train_ranks(changed(config, paths={"run": Path("reference")}), 2, log=root / "reference.log")
    return config


@pytest.fixture(scope="module")
def jobs(lab, inputs):
    """Run directory and job of each launcher that this machine has; all are in the queue at once."""
    found = {}
    for number, (name, site) in enumerate(LAUNCHERS.items()):
        if not why_not(lab, name):
            config = changed(inputs, paths={"run": Path(f"launcher{number}")})
            found[name] = (config.paths.at("run"), submit(lab, config, nodes=2, site=site))
    return found


def why_not(lab, name):
    """What of this machine a launcher cannot do without; empty when it has all."""
    if "mpirun" in name and shutil.which("mpirun") is None:
        return "no mpirun (apt-get install openmpi-bin)"
    if "pmix" in name:
        asked = subprocess.run(
            ["srun", "--mpi=pmix", "-n1", "true"], env=lab.environment, capture_output=True, check=False
        )
        if asked.returncode:
            return "this SLURM has no pmix plugin, or it finds no libpmix.so (apt-get install libpmix-dev)"
    if "mpi4py" in name:
        asked = subprocess.run([sys.executable, "-c", "import mpi4py.MPI"], capture_output=True, check=False)
        if asked.returncode:
            return "mpi4py or its MPI library is missing"
    return ""


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_job_computes_what_any_other_does(lab, inputs, jobs, name):
    if why := why_not(lab, name):
        pytest.skip(f"{name}: {why}")
    run, number = jobs[name]
    wait_for(lambda: state(lab, number) in OVER, run)
    assert state(lab, number) == "COMPLETED", logs(run)
    assert numbers(run, STEPS) == numbers(inputs.paths.root / "reference", STEPS)


def start(inputs, name, *launcher, environment=os.environ, **parallel):
    """Train into `name` under `launcher` words, without a job; the finished process."""
    config = changed(inputs, paths={"run": Path(name)}, **parallel)
    file = inputs.paths.root / f"{name}.yaml"
    file.write_text(dump_config(config))
    command = [*(launcher or (sys.executable,)), "-m", "aixmeg", "train", "--config", str(file)]
    environment = {**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_torchrun_and_alone(inputs):
    done = start(inputs, "torchrun", *TORCHRUN, "--nproc-per-node=2")
    assert done.returncode == 0, done.stderr
    assert numbers(inputs.paths.root / "torchrun", STEPS) == numbers(inputs.paths.root / "reference", STEPS)
    done = start(inputs, "alone", parallel=vars(ParallelConfig()))
    assert done.returncode == 0, done.stderr
    # One rank adds up in another order than two: float32 sums differ in their last bits.
    found, expected = (read_metrics(inputs.paths.root / name) for name in ("alone", "reference"))
    for alone, two in zip(found, expected, strict=True):
        assert alone == pytest.approx(two, rel=1e-5)


def test_a_layout_that_the_launcher_cannot_fill_is_explained(inputs):
    done = start(inputs, "one_for_two")
    assert done.returncode == 2
    assert "cannot start on 1 ranks" in done.stderr
    assert "tensor 2 x pipeline 1 = 2 ranks each; start a multiple of 2" in done.stderr


def test_a_torchrun_in_each_task_that_knows_of_no_other_is_explained(lab, inputs):
    done = start(inputs, "strangers", "srun", "--nodes=2", "--ntasks=2", *TORCHRUN, "--nproc-per-node=1",
                 environment=lab.environment, parallel=vars(ParallelConfig()))  # fmt: skip
    assert done.returncode != 0
    assert "srun started torchrun 2 times, but they form groups of 1: start one per node" in done.stderr
    assert not (inputs.paths.root / "strangers/metrics.jsonl").exists()
