"""Failures that the ranks tell and ends that the batch scripts tell: each trouble once, with its cost."""

import json

import pytest
from cluster_runs import write_run

from aixmeg.cluster.attempts import Attempt, write_attempts
from aixmeg.cluster.status import status
from aixmeg.cluster.troubles import read_all_troubles
from aixmeg.watch.failures import Failure, write_failure

ASKED = Attempt(job="7", number=0, began=1000.0, first_step=0, ended=1030.0, step=24, checkpoint=24, kind="asked",
                cause="SIGUSR1, before a time limit", followed="again")  # fmt: skip
LOST = Attempt(job="7", number=1, nodes="n[1-2]", began=1100.0, first_step=24, step=30, checkpoint=24, kind="lost",
               cause="ended without a word on n[1-2]", followed="again")  # fmt: skip
FAILED = Attempt(job="7", number=2, began=1200.0, first_step=24, ended=1230.0, step=39, checkpoint=30, kind="failed",
                 cause="rank 1 of 2 (host n2, pid 9) died in step 40: n2: task 1: Killed")  # fmt: skip
RUNNING = Attempt(job="7", number=3, began=1300.0, first_step=30)
DIED = Failure(kind="died", rank=1, ranks=2, host="n2", pid=9, step=40, phase="step", cause="without a word",
               time=1225.0)  # fmt: skip
EVENTS = [
    ("start", 1001.0, 0), ("resume", 1010.0, 0), ("stop", 1025.0, 24),
    ("start", 1101.0, 0), ("resume", 1110.0, 24), ("checkpoint", 1120.0, 29),
    ("start", 1201.0, 0), ("resume", 1210.0, 24), ("checkpoint", 1220.0, 36),
    ("start", 1301.0, 0), ("resume", 1310.0, 30),
]  # fmt: skip


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path, steps=100, step=40, checkpoint=40)  # half a second a step
    events = [{"event": kind, "time": time, "step": step} for kind, time, step in EVENTS]
    events.insert(-1, {"event": "damaged", "time": 1309.0, "step": 30, "held": 36, "cause": "step-36 is damaged"})
    events.insert(-2, {"event": "unsaved", "time": 1222.0, "step": 38, "cause": "cannot save"})
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    write_attempts(tmp_path, [ASKED, LOST, FAILED, RUNNING])
    write_failure(tmp_path / "failures/a", DIED)
    return tmp_path


def test_each_once_in_order(run):
    asked, lost, unsaved, died, damaged = read_all_troubles(run)
    # From its last step, not from the end of its batch script, until the next attempt trained.
    assert (asked.kind, asked.steps_lost, asked.seconds) == ("asked", 0, 1110 - 1025)
    # Six steps done again, of half a second; the last that was heard of it was a checkpoint.
    assert (lost.kind, lost.host, lost.steps_lost, lost.seconds) == ("lost", "n[1-2]", 6, 1210 - 1120 + 3)
    assert (unsaved.kind, unsaved.step, unsaved.seconds) == ("unsaved", 38, 0)
    # 39 steps were done and 36 of them were in the damaged checkpoint: three are its own, six the checkpoint's.
    assert (died.kind, died.rank, died.steps_lost, died.seconds) == ("died", 1, 3, 1310 - 1225 + 1.5)
    assert "Killed" in died.cause  # the launcher knows the signal
    assert (damaged.kind, damaged.step, damaged.steps_lost, damaged.seconds) == ("damaged", 36, 6, 3.0)


def test_ranks_that_die_with_their_node_are_one_trouble(run):
    write_attempts(run, [ASKED, LOST, Attempt(**{**vars(FAILED), "kind": "ended", "cause": "Node failure on n2"})])
    (died,) = [one for one in read_all_troubles(run) if one.time > 1224 and one.rank is not None]
    assert died.cause == f"Node failure on n2; {DIED.line()}"


def test_one_that_has_not_gone_on_has_no_cost_yet(tmp_path):
    write_run(tmp_path, step=30, checkpoint=24)
    write_attempts(tmp_path, [LOST])
    (lost,) = read_all_troubles(tmp_path)
    assert (lost.steps_lost, lost.seconds) == (6, None)


def test_people_read_each_once(run, capsys):
    status(run, as_json=False)
    said = capsys.readouterr().out
    assert said.count("Killed") == said.count("SIGUSR1") == said.count("step-36 is damaged") == 1
    assert "lost at step 30: ended without a word on n[1-2], 6 steps done again, 0:01:33 lost\n" in said
