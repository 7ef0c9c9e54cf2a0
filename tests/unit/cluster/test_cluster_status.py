"""`aixmeg status`: on a live run, a broken one and an empty folder, without torch, without writing."""

import json
import os
import subprocess
import sys

import pytest
from cluster_runs import write_run

from aixmeg.cluster.attempts import Attempt, write_attempts
from aixmeg.cluster.status import describe, duration, status
from aixmeg.errors import UserError
from aixmeg.watch.failures import Failure, write_failure

ATTEMPTS = [
    Attempt(job="7", number=0, nodes="n[1-2]", began=1000.0, first_step=0, ended=1010.0, step=24, checkpoint=20,
            status=1, kind="failed", cause="n2: task 1: Killed", followed="again"),
    Attempt(job="7", number=1, nodes="n[1-2]", began=1020.0, first_step=20),
]  # fmt: skip


def test_a_live_run(tmp_path):
    write_run(tmp_path, steps=100, step=40, checkpoint=40)
    write_attempts(tmp_path, ATTEMPTS)
    found = describe(tmp_path, now=1050.0)
    assert found["state"] == "running"
    assert (found["step"], found["steps"], found["checkpoint"]) == (40, 100, 40)
    assert found["loss"] == pytest.approx(4.6)
    assert found["eta"] == 30.0  # 60 steps of half a second
    assert found["goodput"] == pytest.approx(20 / 50)  # 40 steps of half a second, in the 50 s since the first attempt
    assert found["goodput_allocated"] == pytest.approx(20 / 40)  # 10 s in the queue between them
    (restart,) = found["restarts"]
    assert (restart["cause"], restart["steps_lost"]) == ("n2: task 1: Killed", 4)


def test_for_people(tmp_path, capsys):
    write_run(tmp_path, steps=100, step=40, checkpoint=40)
    write_attempts(tmp_path, ATTEMPTS)
    status(tmp_path, as_json=False)
    said = capsys.readouterr().out
    for part in ("running, step 40 of 100 (40.0%)", "loss        4.6000", "ETA         0:00:30", "checkpoint  step 40",
                 "failed at step 24: n2: task 1: Killed, 4 steps done again"):  # fmt: skip
        assert part in said, said
    status(tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out)["step"] == 40


@pytest.mark.parametrize(("cut", "step"), [(1, 10), (2, 9), (57, 9)])
def test_files_that_are_being_written(tmp_path, cut, step):
    write_run(tmp_path, step=10, checkpoint=10)
    whole = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(whole[:-cut])
    for name in ("restarts.json", "config.yaml"):
        (tmp_path / name).write_text('{"attem')
    (tmp_path / "checkpoints/latest").write_text("")
    found = describe(tmp_path, now=0.0)
    assert (found["step"], found["steps"], found["checkpoint"], found["attempts"]) == (step, None, None, 0)


def test_an_empty_folder_and_none(tmp_path, capsys):
    status(tmp_path, as_json=False)
    assert "waiting, step 0 of ?" in capsys.readouterr().out
    with pytest.raises(UserError, match="is no folder"):
        status(tmp_path / "none", as_json=False)


def test_it_needs_no_torch_and_writes_nothing(tmp_path):
    write_run(tmp_path, step=3, checkpoint=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'megatron', 'numpy'))); from aixmeg.cli import main; "
        f"sys.exit(main(['status', {str(tmp_path)!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ}, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00:00"), (3725, "1:02:05"), (180_000, "2 d 2:00:00")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_failures_and_slow_ranks_with_their_cost(tmp_path, capsys):
    write_run(tmp_path, steps=100, step=40, checkpoint=40)
    failure = Failure(kind="died", rank=1, ranks=4, host="n2", step=25, phase="step", cause="killed", time=1010.0)
    write_failure(tmp_path / "failures/a", failure)
    slow = {"event": "slow", "time": 1100.0, "step": 40, "rank": 3, "first": 31, "own": 0.2, "above": 0.1, "data": 0.01}
    events = [{"event": "resume", "time": 1060.0, "step": 20}, slow]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    died, slow = describe(tmp_path, now=1200.0)["troubles"]
    assert (died["kind"], died["steps_lost"], died["seconds"]) == (
        "died",
        4,
        52.0,
    )  # 50 s, and 4 steps of half a second
    assert (slow["kind"], slow["rank"], slow["seconds"]) == ("slow", 3, None)
    status(tmp_path, as_json=False)
    said = capsys.readouterr().out
    assert "rank 1 of 4 (host n2, pid 0) died in step 25: killed, 4 steps done again, 0:00:52 lost\n" in said
    assert "rank 3 was slow from step 31 on: its own part of a step took 200.0 ms, 100.0 more than the median" in said
