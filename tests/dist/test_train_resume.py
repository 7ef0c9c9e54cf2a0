"""A run that is killed and resumed is, bit for bit, the run that was not."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from random import Random

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

STEPS = 14


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    make_inputs(folder)
    return folder


def named(root, name, parallel=TP2, **train):
    config = tiny_config(root, parallel, **{"steps": STEPS, "save_interval": 3, **train})
    return changed(config, paths={"run": Path(name)})


def everything(run):
    """All numbers of a run but times, in order, and that no step is missing or twice."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [record["step"] for record in records if record["kind"] == "train"]
    assert steps == list(range(1, len(steps) + 1))
    return [{k: v for k, v in record.items() if not k.startswith(MEASURED)} for record in records]


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def whole(request, root):
    config = named(root, f"whole-{request.param}", precision=request.param)
    train_ranks(config, 2, log=root / "whole")
    return config


@pytest.mark.parametrize("asynchronous", [True, False], ids=["beside", "waiting"])
def test_killed_anywhere_it_goes_on_bit_for_bit(root, whole, asynchronous):
    name = f"killed-{whole.train.precision}-{asynchronous}"
    config = changed(whole, paths={"run": Path(name)}, checkpoint={"asynchronous": asynchronous})
    run, random = root / config.paths.run, Random(name)
    for round_ in range(3):
        ranks = start_ranks(train_rank, 2, config, True, log=root / "killed")
        # Anywhere in the middle of a step, an evaluation or a save: a random moment after some new lines.
        seen = _lines(run)
        while _lines(run) < seen + 3 + round_ and all(process.is_alive() for process in ranks):
            time.sleep(0.002)
        time.sleep(random.uniform(0, 0.2))
        kill(ranks)
    train_ranks(config, 2, log=root / "killed", resume=True)
    assert everything(run) == everything(root / whole.paths.run)


@pytest.mark.parametrize("whole", ["bf16"], indirect=True)
@pytest.mark.parametrize("moment", ["write", "publish", "pointer"])
@pytest.mark.parametrize("asynchronous", [True, False], ids=["beside", "waiting"])
def test_killed_while_saving(root, whole, moment, asynchronous):
    name = f"{moment}-{whole.train.precision}-{asynchronous}"
    config = changed(whole, paths={"run": Path(name)}, checkpoint={"asynchronous": asynchronous})
    run = root / config.paths.run
    statuses = run_ranks(die_while_saving, 2, config, moment, log=root / moment)
    assert -signal.SIGKILL in statuses
    assert len(list((run / "checkpoints").glob("step-*"))) == (2 if moment == "pointer" else 1)
    assert (run / "checkpoints/latest").read_text() == "step-00000003\n"
    train_ranks(config, 2, log=root / moment, resume=True)
    assert everything(run) == everything(root / whole.paths.run)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["latest", "step-00000012", "step-00000014"]


def die_while_saving(config, moment):
    """Kill -9 during the second save: between its files, before it is published, before `latest` names it."""
    from aixmeg.train import folders, torch_dist

    owner, name, calls = {
        "write": (torch_dist._Writer, "write_data", 2),
        "publish": (folders, "replace_folder", 2),
        "pointer": (folders, "atomic_write", 2),
    }[moment]
    original, count = getattr(owner, name), [0]

    def dies(*args, **kwargs):
        count[0] += 1
        if count[0] == calls and not (moment == "write" and os.environ["RANK"] == "0"):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, dies)
    train_rank(config)


@pytest.mark.parametrize(
    ("name", "ranks", "parallel"),
    [
        ("one", 1, ParallelConfig()),
        ("dp2", 2, ParallelConfig()),
        ("pp2", 2, ParallelConfig(pipeline_model_parallel_size=2)),
    ],
)
def test_it_goes_on_in_another_layout(root, name, ranks, parallel):
    whole = named(root, "layout-whole")
    if not (root / "layout-whole").exists():
        train_ranks(whole, 2, log=root / "layout")
    half = named(root, f"layout-{name}", steps=6)
    half = changed(half, optimizer={"decay_steps": STEPS})
    train_ranks(half, 2, log=root / "layout")
    rest = changed(named(root, f"layout-{name}", parallel), optimizer={"decay_steps": STEPS})
    train_ranks(rest, ranks, log=root / "layout", resume=True)
    found, expected = read_metrics(root / f"layout-{name}"), read_metrics(root / "layout-whole")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], rel=1e-5)  # fp32 sums in another order after the change
    notices = (root / "layout.0").read_text()
    assert "parallel.tensor_model_parallel_size was 2, is now 1" in notices


def test_data_parallel_shards_resume_bit_for_bit(root):
    """Each rank holds half of the optimizer's states, and half of the new weights when step 12 is saved: with
    overlap_param_gather the other half comes with the next forward pass, and no validation runs before the save."""
    overlap = ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True)
    whole = named(root, "dp-whole", overlap, precision="bf16", eval_interval=0)
    train_ranks(whole, 2, log=root / "dp")
    shutil.copytree(root / "dp-whole", root / "dp-part")
    (root / "dp-part/checkpoints/latest").write_text("step-00000012\n")
    train_ranks(changed(whole, paths={"run": Path("dp-part")}), 2, log=root / "dp", resume=True)
    assert "continuing from" in (root / "dp.0").read_text()
    assert everything(root / "dp-part") == everything(root / "dp-whole")


def test_sigterm_finishes_the_step_and_saves(root):
    config = named(root, "sigterm", steps=10_000, save_interval=0, eval_interval=0)
    run = root / "sigterm"
    ranks = start_ranks(train_rank, 2, config, log=root / "sigterm.log")
    while _lines(run) < 3:
        time.sleep(0.01)
    ranks[1].terminate()  # one rank hears it, all stop at the same step
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0, 0]
    last = everything(run)[-1]["step"]
    assert (run / "checkpoints/latest").read_text() == f"step-{last:08}\n"
    assert f"stopped after step {last}" in (root / "sigterm.log.0").read_text()


def test_sigusr1_twice_stops_once_and_sigusr2_saves_and_goes_on(root):
    config = named(root, "usr", steps=10_000, save_interval=0, eval_interval=0)
    run = root / "usr"
    ranks = start_ranks(train_rank, 2, config, log=root / "usr.log")
    while _lines(run) < 3:
        time.sleep(0.01)
    os.kill(ranks[1].pid, signal.SIGUSR2)
    while not (run / "checkpoints/latest").exists() and all(process.is_alive() for process in ranks):
        time.sleep(0.005)
    saved = (run / "checkpoints/latest").read_text()
    seen = _lines(run)
    while _lines(run) < seen + 3 and all(process.is_alive() for process in ranks):
        time.sleep(0.005)
    for number in (signal.SIGUSR1, signal.SIGTERM):  # the batch script's and SLURM's own
        for process in ranks:
            os.kill(process.pid, number)
    for process in ranks:
        process.join(60)
    assert [process.exitcode for process in ranks] == [0, 0], (root / "usr.log.0").read_text()
    last = everything(run)[-1]["step"]
    assert (run / "checkpoints/latest").read_text() == f"step-{last:08}\n" != saved


def test_resume_without_a_checkpoint_starts_and_a_complete_run_stays(root):
    config = named(root, "fresh", steps=2)
    train_ranks(config, 2, log=root / "fresh", resume=True)
    assert "no checkpoint in" in (root / "fresh.0").read_text()
    before = everything(root / "fresh")
    train_ranks(config, 2, log=root / "fresh", resume=True)
    assert everything(root / "fresh") == before
    shutil.rmtree(root / "fresh")


def _lines(run):
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0
