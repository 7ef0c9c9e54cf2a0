"""Saving beside the training: what a reader sees meanwhile, failing writes, damaged files, retention."""

import json
import multiprocessing
import os
import resource
import time
from pathlib import Path
from random import Random

import pytest
import torch
from train_ranks import (
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

from aixmeg.convert.checkpoint_reader import CheckpointWeights
from aixmeg.errors import UserError
from aixmeg.train.folders import find_latest, list_checkpoints, step_of, verify
from aixmeg.watch.troubles import read_troubles


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saving")
    make_inputs(folder)
    return folder


def named(root, name, checkpoint=None, **train):
    config = tiny_config(root, TP2, **{"steps": 12, "save_interval": 3, "keep_checkpoints": 0, **train})
    return changed(config, paths={"run": Path(name)}, checkpoint=checkpoint or {})


def log_of(root):
    return Path(f"{root}/log.0").read_text()


@pytest.fixture(scope="module")
def whole(root):
    config = named(root, "whole")
    train_ranks(config, 2, log=root / "log")
    return read_metrics(root / "whole")


# What a reader sees.


def watch(run, out, stop):
    """Read all of every checkpoint that can be seen, over and over; {"read": …, "bad": [what went wrong …]}."""
    read, bad, latest = 0, [], []
    while not stop.is_set():
        try:
            newest = find_latest(run)
            if newest is not None and (not latest or latest[-1] != step_of(newest)):
                latest.append(step_of(newest))
        except UserError as error:
            bad.append(str(error))
        for folder in list_checkpoints(run):
            try:
                read += verify(folder)["step"] == step_of(folder)
            except (UserError, OSError) as error:
                if folder.exists():  # else the retention policy was quicker
                    bad.append(str(error))
    out.put({"read": read, "bad": bad, "latest": latest})


@pytest.mark.parametrize("keep", [0, 2])
def test_a_reader_sees_whole_checkpoints_only(root, whole, keep):
    """Polls through a training that saves every step and is killed several times, at seeded moments."""
    config = named(root, f"read-{keep}", save_interval=1, keep_checkpoints=keep, eval_interval=0)
    run = root / config.paths.run
    context = multiprocessing.get_context("fork")
    stop, out, random = context.Event(), context.SimpleQueue(), Random(keep)
    reader = context.Process(target=watch, args=(run, out, stop), daemon=True)
    reader.start()
    try:
        for _ in range(4):
            ranks = start_ranks(train_rank, 2, config, True, log=root / "log")
            before = len(read_metrics(run)) if (run / "metrics.jsonl").exists() else 0
            while not (run / "metrics.jsonl").exists() or len(read_metrics(run)) < before + 2:
                if not all(process.is_alive() for process in ranks):
                    break
                time.sleep(0.002)
            time.sleep(random.uniform(0, 0.1))
            kill(ranks)
        train_ranks(config, 2, log=root / "log", resume=True)
    finally:
        stop.set()
        found = out.get()
        reader.join(10)
    assert found["bad"] == []
    assert found["read"] > 12
    assert found["latest"] == sorted(found["latest"]) and found["latest"][-1] == 12
    assert read_metrics(run) == whole


# Failing writes.


def train_with_full_disk(config, failing):
    """Rank 1's disk takes small files only during the saves of these numbers, counted from 1."""
    from aixmeg.train import saver

    original, calls = saver.training_state, [0]
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def state(*args, **kwargs):
        calls[0] += 1
        full = calls[0] in failing and os.environ["RANK"] == "1"
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000 if full else hard, hard))
        return original(*args, **kwargs)

    saver.training_state = state
    train_rank(config)


@pytest.mark.parametrize("asynchronous", [True, False], ids=["beside", "waiting"])
def test_a_save_that_fails_is_said_and_the_next_one_comes(root, whole, asynchronous):
    config = named(root, f"full-{asynchronous}", {"asynchronous": asynchronous})
    assert run_ranks(train_with_full_disk, 2, config, [2, 3], log=root / "log") == [0, 0], log_of(root)
    run = root / config.paths.run
    assert [step_of(folder) for folder in list_checkpoints(run)] == [3, 12]
    assert find_latest(run).name == "step-00000012"
    assert not list((run / "checkpoints").glob(".*"))
    for step in (6, 9):
        assert f"cannot save the checkpoint of step {step} in {run}/checkpoints: rank 1: File too large" in log_of(root)
    assert "earlier checkpoints are untouched; the next one is saved as planned" in log_of(root)
    told = [(one.kind, one.step, "File too large" in one.cause) for one in read_troubles(run)]
    assert told == [("unsaved", 6, True), ("unsaved", 9, True)]
    assert read_metrics(run) == whole


@pytest.mark.parametrize(("failing", "step"), [([2, 3], 9), ([4], 12)], ids=["too-many", "the-last"])
def test_too_many_failures_and_the_last_one_end_the_run(root, failing, step):
    config = named(root, f"end-{step}", {"max_failed_saves": 1})
    assert run_ranks(train_with_full_disk, 2, config, failing, log=root / "log") == [2, 2], log_of(root)
    message = log_of(root)
    assert f"aixmeg: cannot save the checkpoint of step {step} in" in message
    assert "untouched: free space, then go on with --resume" in message
    latest = find_latest(root / config.paths.run)
    assert verify(latest)["step"] == (3 if step == 9 else 9)


def slow_disk(config):
    """Writing takes longer than the steps between two saves."""
    from aixmeg.train import torch_dist

    original, writing = torch_dist.write, []

    def write(*args):
        writing.append(1)
        assert len(writing) == 1, "two checkpoints were being written at once"
        time.sleep(0.5)
        result = original(*args)
        writing.pop()
        return result

    torch_dist.write = write
    train_rank(config)


def test_one_checkpoint_at_a_time_and_the_last_is_waited_for(root, whole):
    config = named(root, "slow", eval_interval=0)
    assert run_ranks(slow_disk, 2, config, log=root / "log") == [0, 0], log_of(root)
    assert [step_of(folder) for folder in list_checkpoints(root / "slow")] == [3, 6, 9, 12]
    assert read_metrics(root / "slow") == whole
    # What is written is the state of the step that it is called after, not of the steps that went on meanwhile: the
    # weights too, which a resumed run makes anew from the optimizer's, but a conversion reads.
    for step in (3, 6, 9):
        late, waited = (CheckpointWeights(root / run / f"checkpoints/step-{step:08}") for run in ("slow", "whole"))
        assert set(late) == set(waited)
        assert all(torch.equal(late[name], waited[name]) for name in waited), step
        folders = [root / run / f"checkpoints/step-{step:08}" for run in ("slow", "whole")]
        for name in json.loads((folders[0] / "aixmeg.json").read_text())["files"]:  # a checkpoint saved again is the same
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), (step, name)
    (root / "slow/checkpoints/latest").write_text("step-00000006\n")
    train_ranks(config, 2, log=root / "log", resume=True)
    assert "slow/checkpoints/step-00000006" in log_of(root) and read_metrics(root / "slow") == whole


# Damaged files.


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(root, whole):
    config = named(root, "damaged", steps=9)
    config = changed(config, optimizer={"decay_steps": 12})
    train_ranks(config, 2, log=root / "log")
    folder = root / "damaged/checkpoints"
    flip_bit(folder / "step-00000009/__1_0.distcp")
    (folder / "step-00000006/common.pt").unlink()
    rest = changed(config, train={"steps": 12})
    train_ranks(rest, 2, log=root / "log", resume=True)
    said = log_of(root)
    assert f"continuing from {folder}/step-00000003" in said
    assert f"step-00000009 is damaged: __1_0.distcp has changed since it was saved (SHA-256); it is {folder}" in said
    assert "step-00000006 is incomplete: common.pt is missing; it is" in said
    told = [(one.kind, one.step, one.steps_lost) for one in read_troubles(root / "damaged")]
    assert told == [("damaged", 9, 6), ("damaged", 6, 3)]
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["damaged-step-00000006", "damaged-step-00000009", "latest",
                     *(f"step-{step:08}" for step in (3, 6, 9, 12))]  # fmt: skip
    assert read_metrics(root / "damaged") == whole


def test_when_all_are_damaged_the_newest_is_named_and_nothing_changes(root):
    config = named(root, "all", steps=6)
    train_ranks(config, 2, log=root / "log")
    folder = root / "all/checkpoints"
    for step in (3, 6):
        flip_bit(folder / f"step-{step:08}/__0_0.distcp")
    before = sorted(path.name for path in folder.iterdir())
    assert run_ranks(train_rank, 2, config, True, log=root / "log") == [2, 2]
    assert "step-00000006 is damaged: __0_0.distcp has changed" in log_of(root)
    assert "the 1 before it are damaged too" in log_of(root)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_conversion_refuses_a_damaged_checkpoint(root, whole):
    from aixmeg.train.checkpoint import load_model_weights

    flip_bit(root / "whole/checkpoints/step-00000006/__0_0.distcp")
    with pytest.raises(UserError, match=r"step-00000006 is damaged: __0_0\.distcp has changed"):
        load_model_weights(root / "whole", [], None, step=6)  # type: ignore[arg-type]


# What is inside, and what is kept.


def test_what_a_checkpoint_says_of_its_training(root, whole):
    manifest = json.loads((root / "whole/checkpoints/step-00000009/aixmeg.json").read_text())
    assert (manifest["step"], manifest["consumed_samples"], manifest["next_sample"]) == (9, 36, 36)
    assert manifest["skipped"] == []
    assert manifest["health"] == [[loss, norm] for _, loss, norm, _ in whole[:9]]
    assert set(manifest["versions"]) == {"aixmeg", "python", "torch", "megatron-core", "numpy"}
    assert len(manifest["config_sha256"]) == len(manifest["data"]["tokenizer_sha256"]) == 64
    assert len(manifest["data"]["train_idx_sha256"]) == 64
    assert {"__0_0.distcp", "__1_0.distcp", ".metadata", "common.pt", "metadata.json"} == set(manifest["files"])


def test_another_tokenizer_or_other_data_are_refused_by_name(root, whole):
    config = named(root, "whole", steps=13)
    data, tokenizer = root / "data/data.json", root / "tokenizer/tokenizer.model"
    kept = data.read_text(), tokenizer.read_bytes(), (root / "data/train.idx").read_bytes()
    try:
        import hashlib

        tokenizer.write_bytes(b"another one")
        digest = hashlib.sha256(b"another one").hexdigest()
        data.write_text(json.dumps({**json.loads(kept[0]), "tokenizer_sha256": digest, "corpus_sha256": "other"}))
        assert run_ranks(train_rank, 2, config, True, log=root / "log") == [2, 2]
    finally:
        data.write_text(kept[0])
        tokenizer.write_bytes(kept[1])
    message = log_of(root)
    assert "belongs to another training" in message
    assert "data.corpus_sha256 was None, is now 'other'" in message
    assert f"is now '{digest}'" in message and "data.tokenizer_sha256 was" in message


def test_multiples_are_kept_for_ever(root, whole):
    config = named(root, "kept", {"keep_every": 4}, save_interval=2, keep_checkpoints=1)
    train_ranks(config, 2, log=root / "log")
    assert [step_of(folder) for folder in list_checkpoints(root / "kept")] == [4, 8, 12]
