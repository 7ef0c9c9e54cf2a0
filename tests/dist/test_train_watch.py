"""A rank that dies, falls silent or fails takes the job down in a stated time, and is named once."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launch import ROOT, free_port
from train_ranks import changed, kill, make_inputs, start_ranks, tiny_config, train_rank

from aixmeg.config import ParallelConfig, dump_config
from aixmeg.errors import UserError
from aixmeg.watch.failures import LEFT, read_failures

SOON = 8.0
"""Seconds, on a busy machine, from a death to the end of all ranks."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch")
    make_inputs(folder)
    return folder


def endless(root, name, parallel=None, **watch):
    config = tiny_config(root, parallel, steps=1_000_000, global_batch_size=12, save_interval=0, eval_interval=0)
    return changed(config, paths={"run": Path(name)}, watch=watch)


def start(root, config, ranks):
    """Ranks in the middle of a training."""
    started = start_ranks(train_rank, ranks, config, log=root / f"{config.paths.run}.log")
    wait_for_steps(config, lambda: all(process.is_alive() for process in started))
    return started


def wait_for_steps(config, alive):
    """Until three steps are recorded."""
    path = config.paths.at("run") / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < 3:
        assert alive()
        time.sleep(0.01)


def statuses(ranks, seconds):
    """Of all ranks, once they have ended by themselves."""
    deadline = time.monotonic() + seconds
    for process in ranks:
        process.join(max(deadline - time.monotonic(), 0))
    found = [process.exitcode for process in ranks]
    kill(ranks)
    return found


def logs(root, config, ranks):
    return [Path(f"{root / config.paths.run}.log.{rank}").read_text() for rank in range(ranks)]


def kept(config):
    """The failure's record, and what each rank left beside it."""
    [failure] = read_failures(config.paths.at("run"))
    [folder] = (config.paths.at("run") / "failures").iterdir()
    return failure, {path.name: path.read_text() for path in folder.glob("rank-*.txt")}


@pytest.mark.parametrize(
    ("victim", "parallel"),
    [(1, None), (2, ParallelConfig(pipeline_model_parallel_size=3)), (0, None)],
    ids=["data-parallel", "pipeline", "rank-0"],
)
def test_a_killed_rank_is_named_once(root, victim, parallel):
    config = endless(root, f"killed-{victim}", parallel)
    if parallel is not None:
        config = changed(config, model={"num_layers": 3})
    ranks = start(root, config, 3)
    os.kill(ranks[victim].pid, signal.SIGKILL)
    assert statuses(ranks, SOON) == [-signal.SIGKILL if rank == victim else LEFT for rank in range(3)]
    text = "".join(logs(root, config, 3))
    assert text.count(f"aixmeg: rank {victim} of 3 (host") == text.count("aixmeg: ") == 1, text
    assert f"pid {ranks[victim].pid}) died in step " in text
    assert "without a word; killed" in text
    assert not any(word in text for word in ("Traceback", "onnection", "gloo", "peer")), text
    failure, files = kept(config)
    assert (failure.kind, failure.rank, failure.pid) == ("died", victim, ranks[victim].pid)
    assert failure.step >= 3
    assert set(files) == {f"rank-{rank}.txt" for rank in range(3) if rank != victim}
    assert all("Traceback" in text or "Current thread" in text for text in files.values())


def test_under_torchrun(root):
    config = endless(root, "torchrun")
    (root / "torchrun.yaml").write_text(dump_config(config))
    words = ["torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}",
             "-m", "aixmeg", "train", "--config", str(root / "torchrun.yaml")]  # fmt: skip
    with (root / "torchrun.log.0").open("wb") as log:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        launcher = subprocess.Popen([sys.executable, "-m", *words], stdout=log, stderr=log, env=environment)
    wait_for_steps(config, lambda: launcher.poll() is None)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    [victim] = [pid for pid in children if b"RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    os.kill(int(victim), signal.SIGKILL)
    assert launcher.wait(SOON) == 1
    [text] = logs(root, config, 1)
    assert text.count("aixmeg: ") == text.count(f"rank 1 of 2 (host {socket.gethostname()}, pid {victim}) died") == 1
    ours = text[: text.index("failed (exitcode: -9)")]  # what follows is torchrun's summary
    assert "Traceback" not in ours
    assert "onnection" not in ours


def test_a_silent_rank_is_lost_in_the_stated_time(root):
    config = endless(root, "silent", silence_timeout=3.0)
    ranks = start(root, config, 2)
    stopped = time.monotonic()
    os.kill(ranks[1].pid, signal.SIGSTOP)
    assert statuses(ranks, 3.0 + SOON) == [LEFT, -signal.SIGKILL]  # who is stopped cannot leave by itself
    assert time.monotonic() - stopped > 2.0
    text = "".join(logs(root, config, 2))
    assert text.count("aixmeg: ") == 1
    assert "is lost in step " in text
    assert "no sign of life for 3 s" in text
    failure, files = kept(config)
    assert (failure.kind, failure.rank) == ("lost", 1)
    assert "Current thread" in files["rank-0.txt"]
    assert "in run_loop" in files["rank-0.txt"]


def test_an_exception_is_shown_once(root):
    config = endless(root, "raised")
    ranks = start_ranks(train_into_error, 2, config, log=root / "raised.log")
    assert statuses(ranks, 60) == [LEFT, 1]
    zero, one = logs(root, config, 2)
    assert zero.count("aixmeg: ") == zero.count("rank 1 of 2") == 1
    assert "failed in the data of step 3: IndexError: sample 7 is gone" in zero
    assert "Traceback" not in zero
    assert one.count("IndexError: sample 7 is gone") == one.count("Traceback") == 1
    failure, files = kept(config)
    assert (failure.kind, failure.rank, failure.step, failure.phase) == ("raised", 1, 3, "data")
    assert "IndexError: sample 7 is gone" in files["rank-1.txt"]


def test_an_explained_error_of_one_rank_is_shown_once(root):
    config = endless(root, "refused")
    ranks = start_ranks(train_into_error, 2, config, UserError, log=root / "refused.log")
    assert statuses(ranks, 60) == [LEFT, 2]
    zero, one = logs(root, config, 2)
    assert zero.count("aixmeg: ") == zero.count("failed in the data of step 3: sample 7 is gone") == 1
    assert one == ""
    assert kept(config)[0].kind == "refused"


def train_into_error(config, kind=IndexError):
    """Rank 1 cannot read the data of step 3."""
    from aixmeg.train import loop

    original = loop.step_batches

    def step_batches(training, inputs, skipped, step):
        if step == 3 and os.environ["RANK"] == "1":
            raise kind("sample 7 is gone")
        return original(training, inputs, skipped, step)

    loop.step_batches = step_batches
    train_rank(config)
