"""A rank that stands still is named with its place, every rank's stacks are kept, and the job ends to start again."""

import os
import signal
import time

from test_train_watch import SOON, endless, kept, logs, root, start, statuses
from train_ranks import start_ranks, train_rank

from aixmeg.cluster.attempts import read_attempts
from aixmeg.cluster.status import describe
from aixmeg.cluster.supervise import AGAIN, begin, end
from aixmeg.watch.failures import LEFT

__all__ = ["root"]  # the fixture

LIMIT = 3.0


def test_a_rank_that_sleeps_in_its_data_is_named(root, monkeypatch):
    config = endless(root, "hung", hang_timeout=LIMIT)
    run = config.paths.at("run")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    run.mkdir()
    begin(run, max_restarts=3)
    ranks = start_ranks(train_into_sleep, 2, config, log=root / "hung.log")
    assert statuses(ranks, 60) == [LEFT, LEFT]
    text = "".join(logs(root, config, 2))
    assert text.count("aixmeg: rank 1 of 2 (host") == text.count("aixmeg: ") == 1, text
    assert "hung in the data of step 3: the others wait for it for 3 s, in for_ever (test_train_hang.py:" in " ".join(
        text.replace("dist/", "").split()
    )
    assert "Traceback" not in text
    failure, files = kept(config)
    assert (failure.kind, failure.rank, failure.step, failure.phase) == ("hung", 1, 3, "data")
    assert set(files) == {"rank-0.txt", "rank-1.txt"}
    assert "in for_ever" in files["rank-1.txt"]
    assert "in train_step" in files["rank-0.txt"]
    # The batch script's supervision takes it for a failure worth another attempt, and knows why.
    assert end(run, status=LEFT, signal="", max_restarts=3, log=root / "no.log") == AGAIN
    assert read_attempts(run)[-1].cause.startswith("rank 1 of 2 (host")
    [trouble] = describe(run, now=time.time())["troubles"]
    assert (trouble["kind"], trouble["rank"], trouble["step"]) == ("hung", 1, 3)
    assert failure.stood > LIMIT


def train_into_sleep(config):
    """Rank 1 never gets the data of step 3."""
    from aixmeg.train import loop

    original = loop.step_batches

    def for_ever(training, inputs, skipped, step):
        while step == 3 and os.environ["RANK"] == "1":
            time.sleep(0.1)
        return original(training, inputs, skipped, step)

    loop.step_batches = for_ever
    train_rank(config)


def test_a_stopped_rank_does_not_answer(root):
    config = endless(root, "stopped", hang_timeout=LIMIT, silence_timeout=0.0)
    ranks = start(root, config, 2)
    os.kill(ranks[1].pid, signal.SIGSTOP)
    assert statuses(ranks, 2 * LIMIT + SOON) == [LEFT, -signal.SIGKILL]
    text = "".join(logs(root, config, 2))
    assert text.count("aixmeg: rank 1 of 2 (host") == text.count("aixmeg: ") == 1, text
    assert "did not say what it is doing" in text
    failure, files = kept(config)
    assert (failure.kind, failure.rank) == ("hung", 1)
    assert set(files) == {"rank-0.txt"}


def test_rank_zero_may_be_the_stopped_one(root):
    config = endless(root, "stopped-0", silence_timeout=LIMIT)
    ranks = start(root, config, 2)
    os.kill(ranks[0].pid, signal.SIGSTOP)
    assert statuses(ranks, LIMIT + SOON) == [-signal.SIGKILL, LEFT]
    assert "aixmeg: rank 0 of 2 (host" in logs(root, config, 2)[1]
    failure, _ = kept(config)
    assert (failure.kind, failure.rank) == ("lost", 0)


def test_a_job_that_is_stopped_as_a_whole_goes_on(root):
    """Ctrl-Z and fg: nobody was lost, and nobody hung."""
    config = endless(root, "suspended", hang_timeout=LIMIT, silence_timeout=LIMIT)
    ranks = start(root, config, 2)
    for number, pause in ((signal.SIGSTOP, 1.5 * LIMIT), (signal.SIGCONT, 2.0)):
        for process in ranks:
            os.kill(process.pid, number)
        time.sleep(pause)
    path = config.paths.at("run") / "metrics.jsonl"
    seen = path.stat().st_size
    time.sleep(1.0)
    assert path.stat().st_size > seen, logs(root, config, 2)
    ranks[1].terminate()
    assert statuses(ranks, 30) == [0, 0]
    assert not (config.paths.at("run") / "failures").exists()
