import json

import numpy as np
import pytest
from report_run import DATA, lines_of, write

from aixmeg.errors import UserError
from aixmeg.report.load import load_run, read_metrics


@pytest.fixture
def metrics(tmp_path):
    def read(text):
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_metrics(path)

    return read


def test_reads_every_column(metrics):
    found = metrics("\n".join(lines_of(range(1, 101))) + "\n")
    assert found.train["step"].tolist() == list(range(1, 101))
    assert found.train["tokens"][-1] == 100 * 4096
    assert found.valid["step"].tolist() == [50, 100]
    assert np.isfinite(found.train["loss"]).all()
    assert (found.unreadable, found.cut) == (0, False)


@pytest.mark.parametrize("end", [b'{"kind": "train", "st', b'{"kind": "train", "step": 3, "loss": "\xf0\x9f', b"{"])
def test_half_a_line_at_the_end_is_expected(metrics, end):
    found = metrics("\n".join(lines_of(range(1, 3))).encode() + b"\n" + end)
    assert found.train["step"].tolist() == [1, 2]
    assert (found.unreadable, found.cut) == (0, True)


def test_a_whole_last_line_without_newline_counts(metrics):
    found = metrics("\n".join(lines_of(range(1, 4))))
    assert found.train["step"].tolist() == [1, 2, 3]
    assert not found.cut


def test_lines_that_are_no_records_are_counted(metrics):
    bad = [
        "null",
        "[1]",
        "not json",
        '{"kind": "train"}',
        '{"kind": "other", "step": 1}',
        "[" * 100_000,
        '{"step": NaN}',
    ]
    found = metrics("\n".join([*bad, "", *lines_of(range(1, 3))]) + "\n")
    assert found.train["step"].tolist() == [1, 2]
    assert found.unreadable == len(bad)


def test_values_that_are_no_numbers_become_gaps(metrics):
    values = ["NaN", "Infinity", "null", '"text"', "true", "{}", "1" + "0" * 400, "1e999", "2.5"]
    lines = [f'{{"kind": "train", "step": {step}, "loss": {value}}}' for step, value in enumerate(values)]
    found = metrics("\n".join(lines))
    assert np.isfinite(found.train["loss"]).tolist() == [False] * 8 + [True]
    assert np.isnan(found.train["lr"]).all()


def test_empty_file(metrics):
    found = metrics("")
    assert len(found.train["step"]) == len(found.valid["step"]) == 0


def test_steps_trained_again_replace_the_earlier_ones(metrics):
    def record(step, loss):
        return json.dumps({"kind": "train", "step": step, "loss": loss})

    def check(step, loss):
        return json.dumps({"kind": "valid", "step": step, "ntp_loss": loss})

    first = [record(step, 1.0) for step in range(1, 8)]
    first[3:3] = [check(3, 1.0)]
    first.append(check(7, 1.0))
    found = metrics("\n".join([*first, *(record(step, 2.0) for step in (5, 6))]))
    assert found.train["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found.train["loss"].tolist() == [1, 1, 1, 1, 2, 2]
    assert found.valid["step"].tolist() == [3]  # step 7 has not been reached again


def test_a_missing_part_says_who_writes_it(config):
    write(config.paths.at("data") / "data.json", DATA)
    run = load_run(config)
    assert run.data.tree["vocab_size"] == 4096
    assert "aixmeg train" in run.metrics.missing
    assert "aixmeg corpus build" in run.corpus.missing
    assert run.options["train"]["steps"] == config.train.steps


@pytest.mark.parametrize("content", ["{", "[1]", "null", "[" * 100_000, "\x00"])
def test_a_broken_part_is_said_not_raised(whole_run, content):
    write(whole_run.paths.at("corpus") / "report.json", content)
    write(whole_run.paths.at("run") / "config.yaml", content)
    write(whole_run.paths.at("run") / "infills.json", content if content != "[1]" else "{}")
    run = load_run(whole_run)
    assert "report.json" in run.corpus.missing
    assert run.metrics.missing == ""


def test_nothing_at_all_is_the_users_error(config):
    with pytest.raises(UserError, match="nothing to report.*aixmeg corpus build"):
        load_run(config)


def test_the_run_is_named_after_what_says_more(whole_run):
    assert load_run(whole_run).name == whole_run.paths.root.name
