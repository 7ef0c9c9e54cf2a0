"""What `aixmeg quickstart` refuses and prepares; the run itself is part of CI (`make quickstart`)."""

from pathlib import Path

import pytest

from aixmeg.config import load_config
from aixmeg.errors import UserError
from aixmeg.quickstart.command import RECIPE, losses, place_hole, prepare
from aixmeg.quickstart.infills import Hole
from aixmeg.quickstart.steps import Step, steps


def prepared(work, **changes):
    settings = {"corpus": None, "fresh": False, "overrides": {}} | changes
    return prepare(work, **settings)


def test_the_example_is_the_recipe():
    root = Path(__file__).parents[3]
    assert (root / "examples/quickstart.yaml").resolve() == RECIPE.resolve()


def test_the_resolved_recipe_is_written_and_a_second_call_agrees(tmp_path):
    work = tmp_path / "work"
    config, file = prepared(work, overrides={"train.steps": "70", "optimizer.lr": "1e-3"})
    assert config.paths.root == work
    assert (config.train.steps, config.optimizer.lr) == (70, 1e-3)
    assert load_config(file) == config
    assert prepared(work, overrides={"train.steps": "70", "optimizer.lr": "1e-3"}) == (config, file)


def test_another_configuration_needs_fresh(tmp_path):
    work = tmp_path / "work"
    prepared(work)
    (work / "corpus").mkdir()
    with pytest.raises(UserError, match="add --fresh"):
        prepared(work, overrides={"train.steps": "70"})
    assert (work / "corpus").exists()
    config, _ = prepared(work, overrides={"train.steps": "70"}, fresh=True)
    assert config.train.steps == 70
    assert not (work / "corpus").exists()


def test_a_folder_with_other_files_is_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for fresh in (False, True):
        with pytest.raises(UserError, match="holds other files"):
            prepared(tmp_path, fresh=fresh)
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_own_corpus(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        prepared(tmp_path / "work", corpus=tmp_path / "none")
    assert not (tmp_path / "work").exists()
    (tmp_path / "mine").mkdir()
    config, _ = prepared(tmp_path / "work", corpus=tmp_path / "mine")
    assert config.corpus.sources == (tmp_path / "mine",)


def test_wrong_overrides_are_listed_together(tmp_path):
    with pytest.raises(UserError, match="2 problems") as caught:
        prepared(tmp_path / "work", overrides={"train.stepz": "1", "model.num_layers": "x"})
    for part in ("train.stepz is not an option", "model.num_layers='x'"):
        assert part in str(caught.value)
    assert not (tmp_path / "work").exists()


def test_every_step_is_a_command_that_a_user_can_type():
    shown = [step.shown for step in steps(Path("c.yaml"), Path("run"), Path("hf"))]
    assert shown == [
        "aixmeg corpus build --config c.yaml",
        "aixmeg tokenizer train --config c.yaml",
        "aixmeg data build --config c.yaml",
        "aixmeg data show --config c.yaml --count 2",
        "torchrun --nproc-per-node 2 -m aixmeg train --config c.yaml --resume",
        "aixmeg convert to-hf run hf --verify",
    ]


def test_a_failing_step_is_named(capfd):
    with pytest.raises(UserError, match="`aixmeg train --train.steps 0` ended with status 2"):
        Step(title="", words=("train", "--train.steps", "0")).run()
    assert "train.steps=0 must be positive" in capfd.readouterr().err


def test_the_cursor_is_where_the_middle_was(tmp_path):
    hole = Hole("a/b.py", "python", "x = 1\r\ny = \u2028f(", ")\n", "2", "# header\n")
    assert hole.cursor == "2:8"
    file = place_hole(hole, tmp_path)
    assert file.read_bytes() == "x = 1\r\ny = \u2028f()\n".encode()


def test_the_last_validation_counts(tmp_path):
    (tmp_path / "run.json").write_text('{"unigram": {"ntp": 6.5, "middle": null}}')
    (tmp_path / "metrics.jsonl").write_text(
        '{"kind": "valid", "step": 1, "ntp_loss": 6}\n{"kind": "valid", "step": 2, "ntp_loss": 5}\n{"kind": "train"}\n'
    )
    assert losses(tmp_path)["model"]["step"] == 2
    assert losses(tmp_path)["unigram"]["ntp"] == 6.5
