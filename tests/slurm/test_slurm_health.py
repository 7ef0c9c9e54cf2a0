"""A look at every node before the ranks start, in a real SLURM whose nodes have fake GPUs: a bad one is left out.

The ranks of the look are real: they multiply and add up over gloo.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import fake_nvml
import pytest

from aixmeg.cluster.attempts import read_attempts
from aixmeg.cluster.status import describe
from aixmeg.files import read_json

HERE = Path(__file__).parent
TINY = {"model.preset": "tiny", "tokenizer.vocab_size": "8192", "optimizer.warmup_steps": "1", "train.steps": "20"}
PYTHON = """#!/bin/bash
export LD_LIBRARY_PATH={library} FAKE_NVML={root}/gpus-$SLURMD_NODENAME
fault={root}/fault-$SLURMD_NODENAME
if [[ $3 == health && -e $fault ]]; then exec "$REAL_PYTHON" {faulty} "$(cat "$fault")" "${{@:3}}"; fi
exec {fake} "$@"
"""
SITE = """
gpus_per_node: {gpus}
gpu_option: none
ranks_per_node: {ranks}
cpus_per_rank: 1
time: "10"
environment: {{REAL_PYTHON: {python}, PYTHONPATH: {path}}}
python: {root}/python
"""


@pytest.fixture
def submit(lab, tmp_path):
    """submit(*words, gpus=1, ranks=1, nodes=1) → run directory, job; nodes n1 and n2 have a GPU each, n1's is bad."""
    for node, errors in (("n1", 7), ("n2", 0)):
        fake_nvml.write_gpus(tmp_path / f"gpus-{node}", fake_nvml.SOUND | {"uncorrected": errors})
    python = tmp_path / "python"
    python.write_text(PYTHON.format(library=fake_nvml.library(), root=tmp_path, fake=HERE / "fake_ranks.sh",
                                    faulty=HERE.parent / "faulty_rank.py"))  # fmt: skip
    python.chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    (run / "behave").write_text("0 x\n")

    def submitted(*words, gpus=1, ranks=1, nodes=1, site=""):
        profile = tmp_path / "site.yaml"
        text = SITE.format(gpus=gpus, ranks=ranks, python=sys.executable, path=HERE.parents[1], root=tmp_path)
        profile.write_text(text + site)
        options = [word for name, value in TINY.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "aixmeg", "slurm", "submit", "--nodes", nodes, "--profile", profile, *options,
                   "--paths.root", tmp_path, *words]  # fmt: skip
        done = subprocess.run(list(map(str, command)), env=lab.environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[1].rstrip(":"), done.stderr

    yield run, submitted
    lab.run("scancel", "--user", "root", check=False)
    end = time.monotonic() + 60
    while lab.run("squeue", "-h") and time.monotonic() < end:
        time.sleep(0.1)


def over(lab, number, run):
    """The job's state when it has ended."""
    end = time.monotonic() + 180
    while (state := lab.run("squeue", "-h", "-t", "all", "-j", number, "-o", "%T").strip()) not in (
        "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL",
    ):  # fmt: skip
        assert time.monotonic() < end, "\n".join(path.read_text() for path in (run / "logs").glob("*"))
        time.sleep(0.1)
    return state


def test_a_bad_node_is_named_and_left_out(lab, submit):
    run, submitted = submit
    number, _ = submitted()
    assert over(lab, number, run) == "COMPLETED"
    unfit, complete = read_attempts(run)
    assert (unfit.nodes, unfit.kind, unfit.followed) == ("n1", "unfit", "again")
    assert unfit.cause == "n1: GPU 0: 7 uncorrected memory errors since the driver was loaded"
    assert (complete.nodes, complete.kind) == ("n2", "complete")
    assert [one["kind"] for one in describe(run, now=time.time())["troubles"]] == ["unfit"]
    assert list(read_json(run / "health/unfit.json")) == ["n1"]

    # The next submission leaves it out from the start.
    number, said = submitted("--train.steps", "30")
    assert "leaving out n1: unfit before" in said
    assert over(lab, number, run) == "COMPLETED"
    assert [one.nodes for one in read_attempts(run)] == ["n1", "n2", "n2"]


def without_gpus(run):
    for node in ("n1", "n2"):
        fake_nvml.write_gpus(run.parent / f"gpus-{node}")


def test_the_end_of_the_job_that_waits_again_does_not_end_the_exclusion(lab, submit, monkeypatch, tmp_path):
    """SLURM sends TERM to all that a requeued job runs, also to a client that a busy machine has not yet let speak."""
    scontrol = tmp_path / "slow" / "scontrol"
    scontrol.parent.mkdir()
    real = shutil.which("scontrol", path=lab.environment["PATH"])
    scontrol.write_text(f'#!/bin/bash\nif [[ $1 == update ]]; then sleep 3; fi\nexec {real} "$@"\n')
    scontrol.chmod(0o755)
    monkeypatch.setitem(lab.environment, "PATH", f"{scontrol.parent}:{lab.environment['PATH']}")
    run, submitted = submit
    number, _ = submitted()
    assert over(lab, number, run) == "COMPLETED"
    assert [(one.nodes, one.kind) for one in read_attempts(run)] == [("n1", "unfit"), ("n2", "complete")]


def test_a_node_that_computes_wrongly_is_left_out(lab, submit):
    run, submitted = submit
    without_gpus(run)
    (run.parent / "fault-n1").write_text("wrong product")
    number, _ = submitted(gpus=0, ranks=2)
    assert over(lab, number, run) == "COMPLETED"
    unfit, complete = read_attempts(run)
    assert (unfit.nodes, unfit.kind, unfit.followed) == ("n1", "unfit", "again")
    assert unfit.cause == "n1: CPU: a matrix product is wrong, CPU: a matrix product is wrong"  # of both ranks
    assert (complete.nodes, complete.kind) == ("n2", "complete")
    logs = "".join(path.read_text() for path in (run / "logs").glob("ranks-*"))
    assert "1 of 1 nodes are not fit: --exclude=n1" in logs
    assert "all-reduce over 2 ranks: " in logs


def test_a_node_that_hangs_in_the_all_reduce_is_named_and_the_other_is_not(lab, submit):
    run, submitted = submit
    without_gpus(run)
    (run.parent / "fault-n2").write_text("stops in the all-reduce")
    number, _ = submitted(gpus=0, nodes=2, site="health_seconds: 50\n")
    end = time.monotonic() + 180
    while not (run / "health/unfit.json").exists() and time.monotonic() < end:
        time.sleep(0.2)
    logs = "".join(path.read_text() for path in (run / "logs").glob("*"))
    assert list(read_json(run / "health/unfit.json")) == ["n2"], logs
    assert read_json(run / "health/unfit.json")["n2"]["problems"] == [
        "node: rank 1 no longer answered in an all-reduce"
    ]
    assert "1 of 2 nodes are not fit: --exclude=n2" in logs
    lab.run("scancel", number)  # no other two nodes are there


@pytest.mark.parametrize(("gpus", "site"), [(1, "health_seconds: 0\n"), (0, "")], ids=["off", "no GPUs expected"])
def test_it_can_be_left_out_and_passes_where_there_are_no_gpus(lab, submit, gpus, site):
    run, submitted = submit
    if not gpus:
        for node in ("n1", "n2"):
            fake_nvml.write_gpus(run.parent / f"gpus-{node}")
    number, _ = submitted(gpus=gpus, site=site)
    assert over(lab, number, run) == "COMPLETED"
    assert [(one.nodes, one.kind) for one in read_attempts(run)] == [("n1", "complete")]
    assert (run / "health").exists() == (not gpus)
