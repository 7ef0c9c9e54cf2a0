"""What `aixmeg train` refuses: said once, with the remedy, on status 2 of every rank, and nothing half-written."""

import dataclasses
import json
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from train_ranks import TP2, changed, make_inputs, run_ranks, tiny_config, train_rank, train_ranks

from aixmeg.config import OptimizerConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Inputs and a run of three steps with a checkpoint."""
    folder = tmp_path_factory.mktemp("refusals")
    make_inputs(folder)
    train_ranks(tiny_config(folder, TP2, steps=3), 2, log=folder / "log")
    return folder


@pytest.fixture
def root(made, tmp_path):
    copy = tmp_path / "root"
    shutil.copytree(made, copy)
    return copy


def refused(function, config, *arguments, ranks=2):
    """Rank 0's message; fails unless all ranks end with status 2 and no traceback."""
    log = config.paths.root / "log"
    statuses = run_ranks(function, ranks, config, *arguments, log=log)
    texts = [Path(f"{log}.{rank}").read_text() for rank in range(ranks)]
    assert statuses == [2] * ranks, texts
    assert not any("Traceback" in text for text in texts), texts
    assert [text.count("aixmeg: ") for text in texts] == [1] + [0] * (ranks - 1), texts
    return texts[0][texts[0].index("aixmeg: ") :]


def test_a_checkpoint_of_another_training_names_every_difference(root):
    before = (root / "run/metrics.jsonl").read_bytes()
    config = changed(
        tiny_config(root, TP2), model={"hidden_size": 32, "num_layers": 4}, train={"seed": 7, "global_batch_size": 2}
    )
    message = refused(train_rank, config, True)
    assert "belongs to another training" in message
    assert re.findall(r"- (\S+) was (\S+), is now (\S+)", message) == [
        ("model.hidden_size", "64", "32"),
        ("model.num_layers", "2", "4"),
        ("train.global_batch_size", "4", "2"),
        ("train.seed", "1234", "7"),
    ]
    assert (root / "run/metrics.jsonl").read_bytes() == before


def test_a_run_with_checkpoints_is_not_started_over(root):
    message = refused(train_rank, tiny_config(root, TP2))
    assert "already holds step-00000003; go on from it with --resume, or name another run" in message


def test_optimizer_options_may_change_and_are_said(root):
    config = dataclasses.replace(tiny_config(root, TP2, steps=4), optimizer=OptimizerConfig(lr=1e-3, warmup_steps=1))
    train_ranks(config, 2, log=root / "log", resume=True)
    assert "optimizer.lr was 0.005, is now 0.001" in Path(f"{root}/log.0").read_text()
    last = json.loads((root / "run/metrics.jsonl").read_text().splitlines()[-2])
    assert (last["step"], last["lr"]) == (4, pytest.approx(3e-5))


def test_an_incomplete_checkpoint(root):
    (root / "run/checkpoints/step-00000003/__1_0.distcp").unlink()
    assert "__1_0.distcp is missing" in refused(train_rank, tiny_config(root, TP2), True)


def test_a_damaged_checkpoint(root):
    path = root / "run/checkpoints/step-00000003/__1_0.distcp"
    path.write_bytes(b"\0" * path.stat().st_size)
    message = refused(train_rank, tiny_config(root, TP2), True)
    assert "step-00000003 is damaged: __1_0.distcp has changed since it was saved (SHA-256)" in message


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: shutil.rmtree(root / "data"), r"data\.json does not exist; build the dataset first"),
        (lambda root: shutil.rmtree(root / "tokenizer"), r"tokenizer\.model does not exist"),
        (lambda root: (root / "tokenizer/tokenizer.model").write_bytes(b"other"), "built with another tokenizer"),
        (lambda root: os.truncate(root / "data/train.bin", 100), r"train\.bin"),
        (lambda root: (root / "data/data.json").write_text('{"vocab_size": 256}'), r"set model.vocab_size=256"),
    ],
)
def test_inputs(root, prepare, message):
    prepare(root)
    config = changed(tiny_config(root, TP2), paths={"run": Path("new")})
    assert re.search(message, refused(train_rank, config))
    assert not (root / "new/metrics.jsonl").exists()


def test_too_few_ranks_are_refused_before_anything_starts(root):
    config = changed(tiny_config(root, TP2, global_batch_size=3), paths={"run": Path("new")})
    assert "1 ranks cannot hold whole copies of the model" in refused(train_rank, config, ranks=1)
    assert not (root / "new").exists()


def test_a_full_disk_leaves_the_earlier_checkpoint(root):
    message = refused(train_with_little_room, tiny_config(root, TP2, steps=6, save_interval=2))
    assert re.search(r"cannot save the checkpoint of step 6 .*: File too large", message)
    names = sorted(path.name for path in (root / "run/checkpoints").iterdir())
    assert names == ["latest", "step-00000003", "step-00000004"]
    assert (root / "run/checkpoints/latest").read_text() == "step-00000004\n"
    train_ranks(tiny_config(root, TP2, steps=6), 2, log=root / "log", resume=True)


def train_with_little_room(config):
    """Rank 1's disk takes small files only from the second save on; writes fail as on a full disk, in the kernel."""
    from aixmeg.train import saver

    original, calls = saver.training_state, [0]

    def state(*args, **kwargs):
        calls[0] += not kwargs["loading"]
        if calls[0] == 2 and os.environ["RANK"] == "1":
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        return original(*args, **kwargs)

    saver.training_state = state
    train_rank(config, True)


def test_a_loss_that_is_not_a_number_names_step_and_samples(root):
    config = changed(tiny_config(root, TP2, steps=6), paths={"run": Path("nan")})
    message = refused(train_into_nan, config)
    assert "step 2: loss nan, gradient norm nan, on samples 4 to 7; this step is not saved" in message
    assert not list((root / "nan/checkpoints").iterdir())


def train_into_nan(config):
    """The second step starts from a broken weight."""
    import torch

    from aixmeg.train import loop

    original, calls = loop.train_step, [0]

    def train_step(training, batches, **kwargs):
        calls[0] += 1
        if calls[0] == 2:
            with torch.no_grad():
                next(training.models[0].parameters()).fill_(float("nan"))
        return original(training, batches, **kwargs)

    loop.train_step = train_step
    train_rank(config)


def test_an_error_of_one_rank_alone_is_said_by_it(root):
    config = changed(tiny_config(root, TP2), paths={"run": Path("new")})
    log = root / "log"
    statuses = run_ranks(train_with_unreadable_data, 2, config, log=log)
    assert statuses[0] == 2
    assert "aixmeg: rank 1: no permission" in Path(f"{log}.0").read_text()


def train_with_unreadable_data(config):
    from aixmeg.errors import UserError
    from aixmeg.train import inputs

    def refuse(*_, **__):
        raise UserError("no permission")

    if os.environ["RANK"] == "1":
        inputs.TrainDataset = refuse
    train_rank(config)


def test_weights_load_in_one_process_whatever_the_layout(made, tmp_path):
    out = tmp_path / "logits.npy"
    assert run_ranks(load_alone, 1, tiny_config(made), out, log=tmp_path / "log") == [0]
    assert run_ranks(load_alone, 2, tiny_config(made, TP2), tmp_path / "two.npy", log=tmp_path / "log") == [0, 0]
    # fp32 sums in another order.
    np.testing.assert_allclose(np.load(out), np.load(tmp_path / "two.npy"), rtol=1e-4, atol=1e-5)
    assert np.load(out).std() > 0.1  # trained weights, not the initial ones


def load_alone(config, out):
    import torch

    from aixmeg.model.builder import build_model
    from aixmeg.parallel import launch
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.checkpoint import load_model_weights

    launch.start(launch.discover())
    topology = Topology.create(config.parallel, seed=1)
    other = changed(config, train={"seed": 999})
    models = build_model(other, topology, device="cpu")
    manifest = load_model_weights(config.paths.at("run"), models, topology)
    assert manifest["step"] == 3
    logits = models[0].logits(torch.arange(10, 42).unsqueeze(0))
    if topology.rank == 0:
        np.save(out, logits.numpy())
