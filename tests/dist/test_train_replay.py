"""A step taken again is, bit for bit, the step that was; a flipped bit is found, and the rank that flipped it named."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from launch import run_command
from test_train_rollback import train_on_poison
from train_ranks import TP2, changed, make_inputs, run_ranks, tiny_config, train_ranks

from aixmeg.config import ParallelConfig, dump_config

LAYOUTS = {
    "dp2": (ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True), "bf16"),
    "tp2": (TP2, "fp32"),
    "pp2": (ParallelConfig(pipeline_model_parallel_size=2), "fp32"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replay")
    make_inputs(folder)
    return folder


def trained(root, layout):
    """Eight steps with a checkpoint after steps 3, 6 and 8."""
    parallel, precision = LAYOUTS[layout]
    config = tiny_config(root, parallel, precision=precision, save_interval=3, keep_checkpoints=0)
    config = changed(config, paths={"run": Path(layout)})
    if not (root / layout).exists():
        train_ranks(config, 2, log=root / "log")
    return root / layout


def contents(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def replayed(root, function, *arguments, status=0):
    statuses = run_ranks(function, 2, *arguments, log=root / "log")
    text = Path(f"{root}/log.0").read_text()
    assert statuses == [status, status], text
    return text


def replay_rank(run, step, options=None):
    from aixmeg.train.replay import replay

    replay(step=step, run=run, **(options or {}))


def digests(text):
    return re.findall(r"^rank \d+ +([0-9a-f]{16}) .*in all repeats$", text, re.MULTILINE)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_healthy_step_is_as_recorded(root, layout):
    run = trained(root, layout)
    before = contents(run)
    text = replayed(root, replay_rank, run, 5)
    assert "step 5 from step-00000003, on samples 16 to 19" in text
    assert "REPRODUCIBLE, AS RECORDED" in text
    record = json.loads((run / "metrics.jsonl").read_text().splitlines()[5])  # a validation stands after step 4
    assert record["step"] == 5
    assert text.count(f"{record['loss']!r:>22}  {record['grad_norm']!r:>22}") == 4  # recorded, and three repeats
    first, second = digests(text)
    assert first != second  # other samples, or other weights
    assert contents(run) == before


def test_before_the_first_checkpoint_it_starts_from_the_initial_weights(root):
    text = replayed(root, replay_rank, trained(root, "dp2"), 2, {"repeat": 2})
    assert "step 2 from the initial weights" in text and "REPRODUCIBLE, AS RECORDED" in text


def flip_a_bit(run, step, rank):
    """In the second repeat, one bit of one gradient of one rank flips."""
    import torch

    from aixmeg.train import loop
    from aixmeg.train.replay import replay

    original, taken = loop.train_step, [0]

    def flip(gradient):
        gradient = gradient.clone()
        gradient.view(-1).view(torch.uint8)[5] ^= 1
        return gradient

    def train_step(training, batches, **options):
        taken[0] += 1
        parameter = next(training.models[0].parameters())
        hook = None
        if taken[0] == 3 and os.environ["RANK"] == str(rank):  # steps 4, 5, 5
            hook = parameter.register_hook(flip)
        result = original(training, batches, **options)
        if hook is not None:
            hook.remove()
        return result

    loop.train_step = train_step
    replay(step=step, run=run)


@pytest.mark.parametrize("layout", ["dp2", "tp2"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_flipped_bit_is_no_data_problem_and_its_rank_is_named(root, layout, rank):
    text = replayed(root, flip_a_bit, trained(root, layout), 5, rank)
    assert f"NOT REPRODUCIBLE: from one state and one batch the gradients of rank {rank} differ" in text
    assert f"suspect the hardware of rank {rank}." in text
    assert len(digests(text)) == 1


def test_a_record_that_hardware_spoilt(root):
    run = root / "spoilt"
    shutil.copytree(trained(root, "dp2"), run)
    path = run / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        if record["kind"] == "train" and record["step"] >= 4:
            record["loss"] *= 1.001
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    text = replayed(root, replay_rank, run, 5)
    assert "REPRODUCIBLE, BUT NOT AS RECORDED" in text
    assert "step 4 on the way there differs from the record already" in text


def replay_poison(run, poison, step):
    """With the dataset that spoilt the run."""
    from aixmeg.train import command

    command.train = lambda *_, **__: replay_rank(run, step, {"skipped": True})
    train_on_poison(None, poison)


def test_a_step_that_broke_is_shown_to_be_the_data_s_fault(root):
    parallel, precision = LAYOUTS["dp2"]
    config = tiny_config(root, parallel, precision=precision, save_interval=3, keep_checkpoints=0)
    config = changed(config, paths={"run": Path("broken")})
    replayed(root, train_on_poison, config, {18: "nan"})
    text = replayed(root, replay_poison, root / "broken", {18: "nan"}, 5)
    assert "on samples 16 to 19" in text and "REPRODUCIBLE, AS RECORDED" in text
    assert text.count("nan") >= 8
    text = replayed(root, replay_rank, root / "broken", 5)  # the step that was taken in its place
    assert "on samples 20 to 23" in text and "REPRODUCIBLE, AS RECORDED" in text and "nan" not in text


def test_refusals(root):
    run = trained(root, "tp2")
    assert "steps that broke: none" in replayed(root, replay_rank, run, 5, {"skipped": True}, status=2)
    assert "are counted from 1" in replayed(root, replay_rank, run, 0, status=2)
    assert "cannot read the configuration" in replayed(root, replay_rank, root / "nothing", 3, status=2)


def test_the_real_command(root):
    run = trained(root, "tp2")
    assert "parallel" in dump_config(tiny_config(root, TP2)) and (run / "config.yaml").exists()
    outputs = run_command(["-m", "aixmeg", "replay", "--step", "8", "--run", run, "--repeat", "2"], 2)
    assert "step 8 from step-00000006" in outputs[0] and "REPRODUCIBLE, AS RECORDED" in outputs[0]
    assert "REPRODUCIBLE" not in outputs[1]
