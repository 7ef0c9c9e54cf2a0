"""A training over two nodes that is warned, preempted, and loses a rank and a node's daemon: the same losses, bit for
bit, as the one that nobody disturbed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dist"))

from train_ranks import TP2, changed, make_inputs, tiny_config, train_ranks

from aixmeg.cluster.attempts import read_attempts
from aixmeg.cluster.status import describe
from aixmeg.config import dump_config

pytestmark = pytest.mark.timeout(900)  # five starts of two ranks, and SLURM's own waiting
ROOT = Path(__file__).parents[2]
STEPS = 120
SITE = """
gpus_per_node: 0
cpus_per_rank: 1
time: "30"
signal_seconds: 60
environment:
  PYTHONPATH: {path}
  GLOO_SOCKET_IFNAME: lo
  TP_SOCKET_IFNAME: lo
  OMPI_ALLOW_RUN_AS_ROOT: "1"
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1"
  OMPI_MCA_pml: ob1
  OMPI_MCA_btl: tcp,self
  OMPI_MCA_btl_tcp_if_include: lo
  OMPI_MCA_oob_tcp_if_include: lo
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Dataset, configuration, and the numbers of the undisturbed training."""
    root = tmp_path_factory.mktemp("train")
    make_inputs(root)
    config = tiny_config(root, TP2, steps=STEPS, save_interval=25, eval_interval=0)
    whole = changed(config, paths={"run": Path("whole")})
    train_ranks(whole, 2, log=root / "whole")
    (root / "config.yaml").write_text(dump_config(config))
    return root


def numbers(run):
    """Losses and gradient norms in order, and that no step is missing or twice."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in records if record["kind"] == "train"]
    assert [record["step"] for record in train] == list(range(1, STEPS + 1))
    return [(record["loss"], record["grad_norm"]) for record in train]


def submit(lab, root, name, *words, site=""):
    (root / "site.yaml").write_text(SITE.format(path=ROOT) + site)
    command = [sys.executable, "-m", "aixmeg", "slurm", "submit", "--config", root / "config.yaml", "--nodes", "2",
               "--profile", root / "site.yaml", "--paths.run", name, *words]  # fmt: skip
    environment = {**lab.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([str(w) for w in command], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1].rstrip(":")


def wait_for(ready, run, seconds=300):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, logs(run)
        time.sleep(0.1)


def logs(run):
    return "\n".join(f"== {path}\n{path.read_text()[-3000:]}" for path in sorted((run / "logs").glob("*")))


def step(run):
    return describe(run, now=0)["step"] or 0


def state(lab, number):
    return lab.run("squeue", "-h", "-t", "all", "-j", number, "-o", "%T", check=False).strip()


def a_rank(run):
    """Process id of a rank of the training in `run`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"train" in words and str(run / "config.yaml").encode() in words and b"srun" not in words[0]:
            return int(folder.name)
    return None


def test_disturbed_in_every_way_it_ends_with_the_same_losses(lab, inputs):
    run = inputs / "disturbed"
    number = submit(lab, inputs, "disturbed")

    # 1. The warning before a time limit.
    wait_for(lambda: step(run) >= 5, run)
    lab.run("scancel", "--signal=USR1", "--batch", number)
    wait_for(lambda: len(read_attempts(run)) == 2, run)

    # 2. A rank is killed.
    reached = step(run)
    wait_for(lambda: step(run) >= reached + 5 and a_rank(run) is not None, run)
    os.kill(a_rank(run), signal.SIGKILL)
    wait_for(lambda: len(read_attempts(run)) == 3, run)

    # 3. A node's daemon and what it started are killed; it comes back.
    seen = (run / "metrics.jsonl").stat().st_ino  # the next attempt cuts the file, then goes on in the new one
    wait_for(lambda: (run / "metrics.jsonl").stat().st_ino != seen and step(run) >= reached + 3, run)
    lab.stop("n2", signal.SIGKILL)
    os.kill(a_rank(run), signal.SIGKILL)
    wait_for(lambda: state(lab, number) != "RUNNING" or len(read_attempts(run)) > 3, run)
    lab.start_node("n2")

    wait_for(lambda: state(lab, number) == "COMPLETED", run)
    assert numbers(run) == numbers(inputs / "whole"), logs(run)
    kinds = [attempt.kind for attempt in read_attempts(run)]
    assert (kinds[0], kinds[1], kinds[-1]) == ("asked", "failed", "complete"), logs(run)
    assert "Killed" in read_attempts(run)[1].cause  # srun's word, behind the rank that the others name
    found = describe(run, now=time.time())
    assert (found["state"], found["step"], found["checkpoint"]) == ("complete", STEPS, STEPS)
    assert 0 < found["goodput"] < 1
