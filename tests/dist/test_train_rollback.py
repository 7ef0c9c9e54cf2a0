"""A broken step sends the training back to a good checkpoint, and its samples are left out: bit for bit the run that
had left them out from the start."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from train_ranks import (
    MEASURED,
    TP2,
    changed,
    kill,
    make_inputs,
    read_metrics,
    run_ranks,
    start_ranks,
    tiny_config,
    train_rank,
    train_ranks,
)

from aixmeg.config import ParallelConfig

STEPS = 12
SIZE = 4
"""Samples of a step."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rollback")
    make_inputs(folder)
    return folder


def named(root, name, parallel=TP2, health=None, **train):
    config = tiny_config(root, parallel, **{"steps": STEPS, "save_interval": 3, **train})
    return changed(config, paths={"run": Path(name)}, health={"window": 4, "loss_spike": 8.0, **(health or {})})


def everything(run):
    """All numbers of a run but times, in order."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if not k.startswith(MEASURED)} for record in records]


def train_on_poison(config, poison, resume=False):
    """Some samples break the step that meets them: {sample: "nan" or "spike"}; `poison` knows them by their number."""
    import torch

    from aixmeg.train import loop

    original = loop.train_step
    made = loop.micro_batches
    meets = []

    def micro_batches(dataset, samples, *, step, **options):
        meets[:] = [poison[sample] for sample in step if sample in poison]
        return made(dataset, samples, step=step, **options)

    def train_step(training, batches, **options):
        if "nan" in meets:
            with torch.no_grad():
                next(training.models[0].parameters()).fill_(float("nan"))
        if "spike" in meets:
            for batch in batches:  # labels that nothing predicts
                batch.labels.copy_(torch.flip(batch.labels, [1]).add(61).remainder(128))
                for parameter in training.models[0].parameters():
                    parameter.data.mul_(3.0)
        return original(training, batches, **options)

    loop.train_step, loop.micro_batches = train_step, micro_batches
    train_rank(config, resume)


def leave_out(run, *windows):
    run.mkdir()
    (run / "skipped.jsonl").write_text("".join(f'{{"start": {a}, "stop": {b}}}\n' for a, b in windows))


LAYOUTS = {
    "tp2-fp32": (TP2, "fp32"),
    "dp2-overlap-bf16": (ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True), "bf16"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_and_spike_are_left_out_bit_for_bit(root, layout):
    parallel, precision = LAYOUTS[layout]
    # Step 5 takes samples 16 to 19 and breaks; without them sample 41 comes a step earlier, in step 10, and breaks it.
    poison = {18: "nan", 41: "spike"}
    config = named(root, f"poisoned-{layout}", parallel, precision=precision)
    statuses = run_ranks(train_on_poison, 2, config, poison, log=root / "log")
    assert statuses == [0, 0], Path(f"{root}/log.0").read_text()
    run = root / config.paths.run
    events = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert [(e["step"], e["start"], e["stop"], e["back_to"]) for e in events] == [(5, 16, 20, 3), (10, 40, 44, 9)]
    assert "the loss is nan" in events[0]["reason"] and np.isnan(events[0]["loss"])
    assert "is above" in events[1]["reason"] and events[1]["loss"] > 8

    clean = changed(config, paths={"run": Path(f"clean-{layout}")})
    leave_out(root / clean.paths.run, (16, 20), (40, 44))
    train_ranks(clean, 2, log=root / "log")
    assert everything(run) == everything(root / clean.paths.run)
    assert [step for step, *_ in read_metrics(run)] == list(range(1, STEPS + 1))

    whole = changed(config, paths={"run": Path(f"whole-{layout}")})
    train_ranks(whole, 2, log=root / "log")
    assert everything(run)[:4] == everything(root / whole.paths.run)[:4]
    assert everything(run)[5:] != everything(root / whole.paths.run)[5:]  # other samples, other losses


def test_a_wider_window_and_a_restart(root):
    """Two steps before the broken one are left out too, so that the newest checkpoint has seen too much; killed
    thereafter, the run remembers."""
    config = named(root, "wide", health={"skip_steps_before": 2, "skip_steps_after": 1}, steps=10_000)
    ranks = start_ranks(train_on_poison, 2, config, {29: "nan"}, log=root / "log")  # in step 8
    run = root / "wide"
    while not (run / "metrics.jsonl").exists() or not any(step >= 13 for step, *_ in read_metrics(run)):
        assert all(process.is_alive() for process in ranks), Path(f"{root}/log.0").read_text()
    kill(ranks)
    (event,) = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert (event["step"], event["start"], event["stop"], event["back_to"]) == (8, 20, 36, 3)
    rest = named(root, "wide", health={"skip_steps_before": 2, "skip_steps_after": 1}, steps=16)
    rest = changed(rest, optimizer={"decay_steps": 10_000})  # the kill may have come before step 12 was published
    train_ranks(rest, 2, log=root / "log", resume=True)
    clean = named(root, "wide-clean", steps=16)
    clean = changed(clean, optimizer={"decay_steps": 10_000})
    leave_out(root / "wide-clean", (20, 36))
    train_ranks(clean, 2, log=root / "log")
    assert read_metrics(run) == read_metrics(root / "wide-clean")


def test_the_limit_stops_the_run_also_over_restarts(root):
    config = named(root, "limit", health={"max_rollbacks": 2})
    poison = dict.fromkeys(range(16, 200), "nan")
    statuses = run_ranks(train_on_poison, 2, config, poison, log=root / "log")
    message = Path(f"{root}/log.0").read_text()
    assert statuses == [2, 2], message
    assert message.count("Going on from step-00000003") == 2
    assert (
        "step 5: loss nan, gradient norm nan, on samples 24 to 27; this step is not saved: the loss is nan" in message
    )
    assert "health.max_rollbacks=2, and it has gone back 2 times" in message
    assert (root / "limit/checkpoints/latest").read_text() == "step-00000003\n"
    assert run_ranks(train_on_poison, 2, config, poison, True, log=root / "log") == [2, 2]
    assert "it has gone back 2 times" in Path(f"{root}/log.0").read_text()


def test_samples_that_were_trained_on_cannot_be_left_out_afterwards(root):
    config = named(root, "afterwards", steps=3)
    train_ranks(config, 2, log=root / "log")
    (root / "afterwards/skipped.jsonl").write_text('{"start": 4, "stop": 8}\n')
    more = named(root, "afterwards", steps=6)
    statuses = run_ranks(train_rank, 2, more, True, log=root / "log")
    message = Path(f"{root}/log.0").read_text()
    assert statuses == [2, 2], message
    assert "samples left out before sample 12 were [], are now [[4, 8]]" in message
    (root / "afterwards/skipped.jsonl").write_text('{"start": 12, "stop": 16}\n')
    train_ranks(more, 2, log=root / "log", resume=True)


@pytest.mark.parametrize("moment", ["go_back_to", "append_event", "restore"])
def test_a_kill_while_going_back_loses_nothing(root, moment):
    config = named(root, f"kill-{moment}")
    statuses = run_ranks(die_going_back, 2, config, {18: "nan"}, moment, log=root / "log")
    assert -signal.SIGKILL in statuses
    assert run_ranks(train_on_poison, 2, config, {18: "nan"}, True, log=root / "log") == [0, 0]
    clean = changed(config, paths={"run": Path("kill-clean")})
    if not (root / "kill-clean").exists():
        leave_out(root / "kill-clean", (16, 20))
        train_ranks(clean, 2, log=root / "log")
    assert everything(root / config.paths.run) == everything(root / "kill-clean")


def die_going_back(config, poison, moment):
    import os

    from aixmeg.train import recovery

    setattr(recovery, moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    train_on_poison(config, poison)
