"""Weights & Biases, by a stand-in of its package."""

import sys
import types

import pytest

from aixmeg.config.logging import LoggingConfig
from aixmeg.errors import UserError
from aixmeg.train.metrics import Metrics
from aixmeg.train.wandb_mirror import WandbMirror

OPTIONS = LoggingConfig(wandb_project="code", wandb_mode="offline")


class Run:
    def __init__(self, options):
        self.options, self.axes, self.logged, self.finished = options, [], [], 0

    def define_metric(self, name, step_metric):
        self.axes.append((name, step_metric))

    def log(self, numbers):
        self.logged.append(numbers)

    def finish(self):
        self.finished += 1


@pytest.fixture
def runs(monkeypatch):
    """The runs that were opened."""
    made = []
    package = types.ModuleType("wandb")
    package.Error = RuntimeError
    package.init = lambda **options: made.append(Run(options)) or made[-1]
    monkeypatch.setitem(sys.modules, "wandb", package)
    return made


def record(step):
    return {"kind": "train", "step": step, "loss": 1.5, "lr": 0.1, "grad_norm": None}


def test_numbers_under_their_tags_with_a_step_of_their_own(tmp_path, runs):
    metrics = Metrics(tmp_path, wandb=WandbMirror(OPTIONS, tmp_path))
    metrics.write(record(1))
    metrics.write({"kind": "valid", "step": 1, "ntp_loss": 2.0, "languages": {"C": {"ntp_loss": 3.0}}})
    metrics.rewind(0)
    metrics.write(record(1))
    assert runs[0].finished == 0  # going back closes no run
    metrics.close()
    (run,) = runs
    assert run.axes == [("*", "step")] and run.finished == 1
    assert run.logged[0] == run.logged[2] == {"train/loss": 1.5, "train/lr": 0.1, "step": 1}
    assert run.logged[1] == {"valid/ntp_loss": 2.0, "valid/ntp_loss/C": 3.0, "step": 1}


def test_a_run_directory_is_one_run_over_restarts(tmp_path, runs):
    for folder in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        folder.mkdir(exist_ok=True)
        WandbMirror(OPTIONS, folder)
    ids = [run.options.pop("id") for run in runs]
    assert ids[0] == ids[1] != ids[2]
    assert runs[0].options == {"project": "code", "name": "a", "dir": str(tmp_path / "a"), "mode": "offline",
                               "resume": "allow"}  # fmt: skip


def test_refusals_are_user_errors(tmp_path, runs, monkeypatch):
    def refuse(**_):
        raise RuntimeError("no key")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(UserError, match="Weights & Biases: no key; see `wandb login`"):
        WandbMirror(OPTIONS, tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="wandb_project=code needs the package wandb; pip install wandb"):
        WandbMirror(OPTIONS, tmp_path)
