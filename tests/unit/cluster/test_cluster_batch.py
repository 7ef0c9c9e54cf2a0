"""Batch scripts: sound shell for every profile and launcher, the options that were asked for, quoting."""

import dataclasses
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from aixmeg.cluster.batch import SUPERVISION, Job, render
from aixmeg.config.site import ContainerConfig, SiteConfig
from aixmeg.config.site_file import load_site

ROOT = Path(__file__).parents[3]
SITES = {path.stem: load_site(path) for path in sorted((ROOT / "slurm/profiles").glob("*.yaml"))}
CPU = SiteConfig(gpus_per_node=0, ranks_per_node=2, cpus_per_rank=3)
SITES |= {
    "torchrun": dataclasses.replace(CPU, launcher="torchrun"),
    "mpirun": dataclasses.replace(CPU, launcher="mpirun"),
    "pmix": dataclasses.replace(CPU, mpi="pmix"),
    "odd": dataclasses.replace(CPU, environment={"A": "it's $HOME"}, exclude=("n[1-2]", "n4"), setup=("echo 'x y'",)),
}
JOB = Job(run=Path("/runs/it's a run"), nodes=3, python="/usr/bin/python3")
BY_HAND = sorted((ROOT / "slurm").glob("*.sbatch"))


def options(script):
    return dict(
        [*line.removeprefix("#SBATCH --").split("=", 1), ""][:2]
        for line in script.splitlines()
        if line.startswith("#SBATCH --")
    )


def words(script, name):
    (line,) = [line for line in script.splitlines() if line.startswith(f"{name}=(")]
    return shlex.split(line.removeprefix(f"{name}=(").removesuffix(")"))


def check(script, path):
    path.write_text(script)
    subprocess.run(["bash", "-n", path], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (apt-get install shellcheck)")
    result = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", SITES)
def test_rendered_scripts_are_sound_shell(name, tmp_path):
    # SC1091 and SC1090: files that `setup` reads are on the cluster alone.
    script = render(JOB, SITES[name]).replace("set -uo", "# shellcheck disable=SC1090,SC1091\nset -uo", 1)
    check(script, tmp_path / "job.sh")


@pytest.mark.parametrize("file", BY_HAND, ids=lambda file: file.name)
def test_scripts_by_hand_are_sound_shell(file, tmp_path):
    check(file.read_text(), tmp_path / "job.sh")


def test_supervision_by_hand_is_that_of_a_submission():
    assert (ROOT / "slurm/pretrain.sbatch").read_text().endswith(SUPERVISION.read_text())
    assert render(JOB, CPU).endswith(SUPERVISION.read_text())


def test_options():
    site = dataclasses.replace(
        CPU, gpus_per_node=4, gpu_option="gres", gpu_type="h100", partition="p", time="1-0", signal_seconds=90,
        memory="0", sbatch_options=("--mail-type=END",),
    )  # fmt: skip
    found = options(render(JOB, site))
    expected = {
        "nodes": "3", "ntasks-per-node": "2", "cpus-per-task": "3", "gres": "gpu:h100:4", "partition": "p",
        "time": "1-0", "signal": "B:USR1@90", "mem": "0", "mail-type": "END", "requeue": "",
        "output": '"/runs/it\'s a run/logs/slurm-%j.log"', "open-mode": "append",
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    assert "gpus-per-node" not in found
    assert not {"gres", "gpus-per-node"} & set(options(render(JOB, CPU)))
    assert "signal" not in options(render(JOB, dataclasses.replace(CPU, signal_seconds=0)))


@pytest.mark.parametrize(
    ("launcher", "tasks", "starts"),
    [("srun", "2", ["srun", "--nodes=3", "--ntasks=6"]), ("torchrun", "1", ["srun", "--nodes=3", "--ntasks=3"]),
     ("mpirun", "2", ["mpirun", "-n", "6"])],
)  # fmt: skip
def test_each_launcher_starts_as_many_ranks(launcher, tasks, starts):
    script = render(JOB, dataclasses.replace(CPU, launcher=launcher))
    assert options(script)["ntasks-per-node"] == tasks
    assert options(script)["cpus-per-task"] == str(6 // int(tasks))  # the cores of a node are the same
    launch = words(script, "launch")
    assert launch[:3] == starts
    assert launch[-6:] == ["-m", "aixmeg", "train", "--config", "/runs/it's a run/config.yaml", "--resume"]
    assert ("--nproc-per-node=2" in launch) == (launcher == "torchrun")


def test_containers():
    apptainer = ContainerConfig(kind="apptainer", image="/i.sif", mounts=("/a", "/b:/c"))
    script = render(JOB, dataclasses.replace(CPU, gpus_per_node=2, container=apptainer))
    inside = ["apptainer", "exec", "--nv", "--bind=/a", "--bind=/b:/c", "/i.sif", "/usr/bin/python3", "-m", "aixmeg"]
    assert words(script, "tool") == inside
    assert " ".join(inside) in " ".join(words(script, "launch"))
    pyxis = ContainerConfig(kind="pyxis", image="/i.sqsh", mounts=("/a", "/b:/c"))
    script = render(JOB, dataclasses.replace(CPU, container=pyxis))
    for name in ("tool", "launch"):
        assert words(script, name)[0] == "srun"
        assert {"--container-image=/i.sqsh", "--container-mounts=/a:/a,/b:/c"} <= set(words(script, name))


def test_values_reach_the_ranks_as_they_are(tmp_path):
    script = render(JOB, SITES["odd"])
    head = script.split("# From the start of a job")[0]
    (tmp_path / "head.sh").write_text(head + 'printf "%s|%s|%s" "$A" "$run" "${launch[-2]}"\n')
    said = subprocess.run(["bash", tmp_path / "head.sh"], capture_output=True, text=True, check=True).stdout
    assert said == "x y\nit's $HOME|/runs/it's a run|/runs/it's a run/config.yaml"


@pytest.mark.parametrize("launcher", ["srun", "torchrun", "mpirun"])
def test_the_look_has_the_ranks_of_the_training(launcher):
    """By srun whatever starts the training, and half of the time for ranks that wait for each other."""
    site = dataclasses.replace(CPU, gpus_per_node=2, ranks_per_node=2, launcher=launcher, health_seconds=90)
    nodes = JOB.nodes
    full = next(line for line in render(JOB, site).splitlines() if line.startswith("health=("))
    assert f"--ntasks={2 * nodes} --ntasks-per-node=2 " in full
    assert "aixmeg health --timeout=45 --gpus-per-node=2" in full
    quick = next(
        line for line in render(JOB, dataclasses.replace(site, health="quick")).splitlines()
        if line.startswith("health=(")
    )  # fmt: skip
    assert f"--ntasks={nodes} --ntasks-per-node=1 " in quick
    assert "aixmeg health --quick --gpus-per-node=2" in quick
