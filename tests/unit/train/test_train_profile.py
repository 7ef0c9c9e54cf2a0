"""Profiles of chosen steps."""

import gzip
import json

import pytest
import torch

from aixmeg.config.logging import LoggingConfig
from aixmeg.errors import UserError
from aixmeg.train.profile import StepProfiler, steps_of

CHOSEN = LoggingConfig(profile_steps=(3, 4), profile_ranks=(0, 2))


def take(profiler, steps, last=99):
    """Run steps, each of which multiplies a matrix of its own size; the messages."""
    messages = []
    for step in steps:
        profiler.begin(step)
        torch.ones(step, step) @ torch.ones(step, step)
        messages.append(profiler.end(step, last=step == last))
    return messages


def events(path):
    return [event["name"] for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"] if "name" in event]


def test_the_chosen_steps_and_no_others(tmp_path):
    first, second, third, fourth, fifth = take(StepProfiler(CHOSEN, tmp_path, rank=2), range(1, 6))
    folder = tmp_path / "profiles" / "steps-3-4"
    assert (first, second, third, fifth) == (None,) * 4 and str(folder) in fourth
    assert sorted(path.name for path in folder.iterdir()) == ["rank-2.json.gz", "rank-2.txt"]
    assert events(folder / "rank-2.json.gz").count("aten::mm") == 2
    assert "aten::mm" in (folder / "rank-2.txt").read_text()


def test_a_run_that_ends_between_writes_what_there_is(tmp_path):
    take(StepProfiler(CHOSEN, tmp_path, rank=0), [3], last=3)
    assert events(tmp_path / "profiles" / "steps-3-3" / "rank-0.json.gz").count("aten::mm") == 1


def test_a_resumed_run_profiles_what_is_left(tmp_path):
    take(StepProfiler(CHOSEN, tmp_path, rank=0), [4, 5])
    assert (tmp_path / "profiles" / "steps-4-4" / "rank-0.txt").exists()


def test_steps_that_do_not_count_are_given_up(tmp_path):
    profiler = StepProfiler(CHOSEN, tmp_path, rank=0)
    profiler.begin(3)
    profiler.drop()
    take(profiler, range(1, 6))
    assert events(tmp_path / "profiles" / "steps-3-4" / "rank-0.json.gz").count("aten::mm") == 2


@pytest.mark.parametrize("options", [LoggingConfig(), CHOSEN], ids=["no steps", "another rank"])
def test_nothing_else_is_profiled(tmp_path, options):
    assert take(StepProfiler(options, tmp_path, rank=1), range(1, 6)) == [None] * 5
    assert list(tmp_path.iterdir()) == []


def test_steps_by_the_command_line():
    assert steps_of("10-12") == (10, 12) and steps_of("7") == (7, 7)
    for words in ("", "0", "4-3", "a-b", "1-2-3", "-3"):
        with pytest.raises(UserError, match="names no steps: write FIRST-LAST"):
            steps_of(words)


def test_broken_rules_are_named():
    options = LoggingConfig(profile_steps=(5, 4), profile_ranks=(-1,), wandb_project="")
    assert list(options.problems("logging")) == [
        "logging.profile_steps=[5, 4] must be [first, last] with 1 <= first <= last",
        "logging.profile_ranks=[-1] must be ranks, 0 or more",
        "logging.wandb_project is empty: name a project, or set null",
    ]
