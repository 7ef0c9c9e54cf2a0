"""Goodput over crashes: what is trained again was lost."""

import json

from aixmeg.config import LoggingConfig
from aixmeg.train import goodput as module
from aixmeg.train.goodput import Events, ledger, read_events


def event(kind, time, step, **more):
    return {"event": kind, "time": time, "step": step, **more}


CRASHED = [
    event("start", 1000.0, 0), event("resume", 1010.0, 0, took=10.0),
    event("checkpoint", 1035.0, 5, seconds=20.0, took=5.0),
    event("steps", 1050.0, 8, seconds=12.0),  # killed some time after this
    event("start", 1080.0, 0), event("resume", 1090.0, 5, took=10.0),
    event("checkpoint", 1145.0, 15, seconds=45.0, took=5.0), event("stop", 1150.0, 15),
]  # fmt: skip


def test_steps_that_are_trained_again_do_not_count():
    found = ledger(CRASHED)
    assert found.productive() == 65.0
    assert found.spent == {"starting": 20.0, "checkpoint": 10.0, "lost": 12.0, "away": 30.0}
    assert found.share(1200.0) == 65.0 / 200.0
    assert found.share(1200.0, running=35.0) == 0.5
    assert found.starts == 2


def test_a_rollback_loses_what_came_after_its_checkpoint():
    events = [*CRASHED[:4], event("rollback", 1060.0, 9, to=5, took=2.0, seconds=3.0)]
    found = ledger(events)
    assert (found.productive(), found.spent["lost"]) == (20.0, 17.0)


def test_a_start_without_a_checkpoint_loses_everything():
    assert ledger([*CRASHED[:3], event("start", 1100.0, 0), event("resume", 1101.0, 0)]).productive() == 0.0


def test_a_process_goes_on_with_the_file_of_a_killed_one(tmp_path, monkeypatch):
    now = [2000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in CRASHED) + '{"event": "steps", "ti')
    events = Events(tmp_path, begun=2000.0, ranks=2)
    events.ready(15)
    events.step(16, 35.0)
    now[0] = 2050.0
    assert events.goodput() == 100.0 / 1050.0
    events.tell("stop", 16, reason="end")
    assert events.goodput() == 100.0 / 1050.0
    assert events.summary().startswith("goodput 9.5% of 1,050 s since the first start, 3 starts (away 880 s")
    events.close()
    assert [one["event"] for one in read_events(path)][-3:] == ["start", "resume", "stop"]
    assert ledger(read_events(path)).productive() == 100.0


def test_the_peak_is_checked():
    assert list(LoggingConfig().problems("logging")) == []
    assert list(LoggingConfig(peak_tflops=0.0).problems("logging")) == [
        "logging.peak_tflops=0.0 must be positive, or null"
    ]
