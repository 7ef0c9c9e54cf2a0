import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from aixmeg.errors import UserError
from aixmeg.train.metrics import Metrics, cut_after


def train(step, loss):
    return {"kind": "train", "step": step, "loss": loss, "grad_norm": 1.0, "lr": 0.1, "tokens": 10 * step,
            "tokens_per_second": 5.0, "seconds": 2.0}  # fmt: skip


def written(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_record_is_on_disk_before_the_next_one(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(train(1, 3.0))
    assert written(tmp_path) == [train(1, 3.0)]
    metrics.close()


def test_a_resumed_run_holds_every_step_once(tmp_path):
    first = Metrics(tmp_path)
    for step in range(1, 8):
        first.write(train(step, 10.0 - step))
    first.write({"kind": "valid", "step": 7, "ntp_loss": 1.0, "middle_loss": None})
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 8, "lo')  # kill -9 in the middle of a write

    second = Metrics(tmp_path, resumed_step=5)
    for step in range(6, 9):
        second.write(train(step, 20.0 - step))
    second.close()

    records = written(tmp_path)
    assert [record["step"] for record in records] == list(range(1, 9))
    assert [record["loss"] for record in records] == [9.0, 8.0, 7.0, 6.0, 5.0, 14.0, 13.0, 12.0]
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    losses = board.Scalars("train/loss")
    assert [(event.step, event.value) for event in losses] == [(r["step"], r["loss"]) for r in records]


def test_a_validation_at_the_resumed_step_stays(tmp_path):
    metrics = Metrics(tmp_path)
    metrics.write(train(5, 1.0))
    metrics.write({"kind": "valid", "step": 5, "ntp_loss": 1.5, "middle_loss": 2.5})
    metrics.close()
    cut_after(tmp_path / "metrics.jsonl", 5)
    assert [record["kind"] for record in written(tmp_path)] == ["train", "valid"]


def test_losses_of_languages_have_curves_of_their_own(tmp_path):
    metrics = Metrics(tmp_path)
    languages = {"C": {"ntp_loss": 1.25, "middle_loss": None}, "Go": {"ntp_loss": None, "middle_loss": 2.5}}
    metrics.write({"kind": "valid", "step": 5, "ntp_loss": 1.5, "middle_loss": 2.0, "languages": languages})
    metrics.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    values = {tag: board.Scalars(tag)[0].value for tag in board.Tags()["scalars"]}
    assert values == {
        "valid/ntp_loss": 1.5, "valid/middle_loss": 2.0, "valid/ntp_loss/C": 1.25, "valid/middle_loss/Go": 2.5
    }  # fmt: skip


def test_a_fresh_start_forgets_a_run_that_never_saved(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(train(1, 1.0)) + "\n[1]\nnull\n")
    Metrics(tmp_path).close()
    assert written(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, which refuses every write, is Linux's alone")
def test_full_disk_is_a_user_error(tmp_path):
    metrics = Metrics(tmp_path)
    metrics._file = Path("/dev/full").open("w")  # noqa: SIM115 (closed by metrics)
    with pytest.raises(UserError, match="No space left"):
        metrics.write(train(1, 1.0))
    metrics.close()
