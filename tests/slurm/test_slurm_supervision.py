"""Jobs of `aixmeg slurm submit` in a real SLURM, with ranks that only pretend: what is requeued, what ends, and why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aixmeg.cluster.attempts import read_attempts
from aixmeg.cluster.status import describe

HERE = Path(__file__).parent
TINY = {"model.preset": "tiny", "tokenizer.vocab_size": "8192", "optimizer.warmup_steps": "1", "train.steps": "60"}
SITE = """
gpus_per_node: 0
cpus_per_rank: 1
time: "10"
signal_seconds: 30
environment: {{REAL_PYTHON: {python}, PYTHONPATH: {path}}}
python: {fake}
"""


@pytest.fixture
def job(lab, tmp_path):
    """submit(behaviour) → the run directory of a job of 2 nodes; cancelled at the end."""
    site = tmp_path / "site.yaml"
    site.write_text(SITE.format(python=sys.executable, path=HERE.parents[1], fake=HERE / "fake_ranks.sh"))
    run = tmp_path / "run"

    def submit(behave="0 x", *words):
        run.mkdir(exist_ok=True)
        (run / "behave").write_text(behave + "\n")
        options = [word for name, value in TINY.items() for word in (f"--{name}", value)]
        command = ["slurm", "submit", "--nodes", "2", "--profile", site, *options, "--paths.root", tmp_path, *words]
        done = subprocess.run([sys.executable, "-m", "aixmeg", *map(str, command)], env=lab.environment, check=False,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return run, done.stdout.split()[1].rstrip(":")

    yield submit
    lab.run("scancel", "--user", "root", check=False)
    wait_for(lambda: not lab.run("squeue", "-h"))


def wait_for(ready, seconds=180, what=""):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, what or "nothing came"
        time.sleep(0.1)


def state(lab, number):
    return lab.run("squeue", "-h", "-t", "all", "-j", number, "-o", "%T", check=False).strip()


def over(lab, number, run):
    """Wait for the job's end; its state."""

    def ended():
        return state(lab, number) in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")

    wait_for(ended, what=logs(run))
    return state(lab, number)


def logs(run):
    return "\n".join(f"== {path}\n{path.read_text()[-2000:]}" for path in sorted((run / "logs").glob("*")))


def steps(run):
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def test_it_runs_to_the_end(lab, job):
    run, number = job()
    assert over(lab, number, run) == "COMPLETED", logs(run)
    (one,) = read_attempts(run)
    assert (one.kind, one.step, one.status) == ("complete", 60, 0)
    assert describe(run, now=0)["state"] == "complete"


def test_a_warning_is_saved_requeued_and_gone_on_from(lab, job):
    run, number = job()
    wait_for(lambda: steps(run) >= 13)
    lab.run("scancel", "--signal=USR1", "--batch", number)
    assert over(lab, number, run) == "COMPLETED", logs(run)
    first, second = read_attempts(run)
    assert (first.kind, first.signal, first.followed, second.kind) == ("asked", "USR1", "again", "complete")
    assert first.checkpoint == first.step == second.first_step >= 13  # nothing is done again


def test_a_crash_loop_ends_the_job(lab, job):
    run, number = job("33 step 33: loss nan")
    assert over(lab, number, run) == "FAILED", logs(run)
    first, second = read_attempts(run)
    assert (first.cause, first.step, first.followed) == ("step 33: loss nan", 33, "again")
    assert (second.step, second.followed) == (33, "stopped")
    assert "ExitCode=70:0" in lab.run("scontrol", "-o", "show", "job", number)
    assert "crash loop" in logs(run)


def test_a_new_failure_is_no_crash_loop(lab, job):
    run, number = job("13 disk full")
    wait_for(lambda: read_attempts(run) and read_attempts(run)[0].kind == "failed", what=logs(run))
    (run / "behave").write_text("27 another one\n")
    wait_for(lambda: len(read_attempts(run)) > 1 and read_attempts(run)[1].kind == "failed", what=logs(run))
    (run / "behave").write_text("0 x\n")
    assert over(lab, number, run) == "COMPLETED", logs(run)
    assert [one.cause for one in read_attempts(run)] == ["disk full", "another one", ""]


def test_a_cancelled_job_stays_cancelled(lab, job):
    run, number = job()
    wait_for(lambda: steps(run) >= 5)
    lab.run("scancel", number)
    assert over(lab, number, run) == "CANCELLED"
    time.sleep(3)
    assert state(lab, number) == "CANCELLED"


def test_preempted_by_a_better_job_it_saves_first(lab, job, tmp_path):
    run, number = job()
    wait_for(lambda: steps(run) >= 5)
    (tmp_path / "high.sh").write_text("#!/bin/bash\nsleep 1\n")
    lab.run("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", tmp_path / "high.sh")
    assert over(lab, number, run) == "COMPLETED", logs(run)
    first, second = read_attempts(run)
    assert (first.kind, first.signal, second.kind) == ("asked", "USR1", "complete"), logs(run)
    assert first.checkpoint == first.step == second.first_step


def test_a_node_that_goes_down_costs_one_attempt(lab, job):
    run, number = job()
    wait_for(lambda: steps(run) >= 15)
    lab.run("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    wait_for(lambda: len(read_attempts(run)) > 0 and state(lab, number) != "RUNNING", what=logs(run))
    lab.run("scontrol", "update", "nodename=n2", "state=resume")
    assert over(lab, number, run) == "COMPLETED", logs(run)
    first, second = read_attempts(run)
    assert first.kind in ("ended", "lost")
    assert (first.followed, second.kind) == ("again" if first.kind == "lost" else "", "complete")


def test_a_killed_daemon_of_a_node_costs_one_attempt(lab, job):
    """What it had started lives on for a while, as a step that SLURM does not hear of."""
    run, number = job("0 x", "--train.steps", "800")  # longer than SLURM waits for the daemon
    wait_for(lambda: steps(run) >= 15)
    lab.stop("n2", signal.SIGKILL)
    wait_for(lambda: state(lab, number) != "RUNNING", what=logs(run))
    lab.start_node("n2")
    assert over(lab, number, run) == "COMPLETED", logs(run)
    assert [one.kind for one in read_attempts(run)][-1] == "complete"
    assert len(read_attempts(run)) == 2


def test_a_second_job_of_a_run_is_refused(lab, job):
    run, number = job()
    with pytest.raises(AssertionError, match=f"has job {number} already"):
        job()
    assert os.access(run, os.W_OK)
