"""Failures and slow ranks of a run, with what they cost."""

import json

import pytest

from aixmeg.watch.failures import Failure, block, read_failures, write_failure
from aixmeg.watch.troubles import read_troubles

HUNG = Failure(kind="hung", rank=3, ranks=8, host="n2", pid=40, gpu=1, step=58, phase="data", cause="the others wait",
               others=(4, 5), time=1000.0, stood=480.0)  # fmt: skip


def write_lines(path, records, end="\n"):
    path.write_text("\n".join(map(json.dumps, records)) + end)


def event(kind, time, step, **more):
    return {"event": kind, "time": time, "step": step, **more}


@pytest.fixture
def run(tmp_path):
    write_lines(tmp_path / "metrics.jsonl", [{"kind": "train", "step": step, "seconds": 2.0} for step in range(1, 61)])
    return tmp_path


def test_a_failure_costs_the_way_back(run):
    write_failure(run / "failures/a", HUNG)
    started = [event("start", 100.0, 0), event("resume", 130.0, 0, took=30.0)]
    write_lines(run / "events.jsonl", started)
    (trouble,) = read_troubles(run)
    assert (trouble.kind, trouble.rank, trouble.steps_lost, trouble.seconds) == ("hung", 3, None, None)
    write_lines(run / "events.jsonl", [*started, event("start", 1020.0, 0), event("resume", 1060.0, 50, took=40.0)])
    (trouble,) = read_troubles(run)
    # 57 steps were done, 50 are saved; it stood 480 s, then 60 s passed, then 7 steps of 2 s are trained again.
    assert (trouble.steps_lost, trouble.seconds) == (7, pytest.approx(480 + 60 + 14))
    assert trouble.cause == ("rank 3 of 8 (host n2, pid 40, GPU 1) hung in the data of step 58: the others wait")


def test_slow_ranks_cost_the_others_wait(run):
    slow = {"rank": 2, "first": 51, "own": 0.12, "above": 0.02, "data": 0.01}
    events = [
        event("slow", 200.0, 100, **slow),
        event("slow", 201.0, 100, **{**slow, "rank": 1}),
        event("no_longer_slow", 300.0, 400, rank=2, first=51, cost=7.0),
        event("start", 400.0, 0),
        event("slow", 500.0, 450, **slow),
        {"event": "slow", "time": 600.0, "step": 460},  # not one of ours
    ]
    write_lines(run / "events.jsonl", events, end='\n{"event": "slo')
    assert [(trouble.rank, trouble.seconds) for trouble in read_troubles(run)] == [(2, 7.0), (1, None), (2, None)]
    assert read_troubles(run)[0].cause == (
        "rank 2 was slow from step 51 on: its own part of a step took 120.0 ms, 20.0 more than the median rank's"
    )


def test_nothing_and_broken_files(tmp_path):
    assert read_troubles(tmp_path) == []
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"kind": "died"}'),
                       ("d", '{"kind": "odd", "rank": 1, "ranks": 2, "cause": ""}'),
                       ("e", '{"kind": "died", "rank": 1, "ranks": 2, "cause": "", "time": 1e300}')):  # fmt: skip
        (tmp_path / "failures" / name).mkdir(parents=True)
        (tmp_path / "failures" / name / "failure.json").write_text(text)
    assert read_troubles(tmp_path) == []


def test_the_first_to_write_speaks(tmp_path):
    assert write_failure(tmp_path / "failures/a", HUNG)
    assert not write_failure(tmp_path / "failures/a", HUNG)
    assert read_failures(tmp_path) == [HUNG]
    assert [path.name for path in (tmp_path / "failures/a").iterdir()] == ["failure.json"]
    (tmp_path / "file").write_text("")
    assert write_failure(tmp_path / "file/a", HUNG)  # nobody can keep it: say it nevertheless


def test_what_the_log_gets(tmp_path):
    assert block(HUNG, tmp_path) == (
        "aixmeg: rank 3 of 8 (host n2, pid 40, GPU 1) hung in the data of step 58: the others wait\n"
        "  with it: ranks 4, 5\n"
        "  where a step may take so long, raise watch.hang_timeout\n"
        f"  the other ranks leave with status 3; what each was doing is in {tmp_path}"
    )
