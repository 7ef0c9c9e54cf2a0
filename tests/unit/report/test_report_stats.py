"""`aixmeg data stats`: shares add up, the page shows every table and escapes what it shows."""

import json

import pytest

from aixmeg.config import load_config
from aixmeg.errors import UserError
from aixmeg.report.stats import stats, summary

SIZES = {"files": 30, "bytes": 900, "tokens": 300}
DATA = {
    "train": {
        "repositories": 3, "files": 40, "bytes": 1000, "tokens": 400, "middle_tokens": 50, "files_in_front": 0,
        "by_objective": {"sfim": SIZES, "ntp": {"files": 10, "bytes": 100, "tokens": 100}},
        "by_mode": {"psm": SIZES, "none": {"files": 10, "bytes": 100, "tokens": 100}},
        "by_language": {"python": {"files": 40, "bytes": 1000, "tokens": 400}},
        "by_strategy": {"whole_node": 20, "header": 10},
        "by_node": {"if_statement": 20, "<script>alert(1)</script>": 10},
        "middle_lengths": {"0": 1, "1": 4, "8": 25},
        "without_tree": {"no_grammar": {"abap": 7}},
    },
    "packing": {"seq_length": 64, "samples": 9, "padding_share": 0.031, "examples": 40, "cut": 2, "shortened": 1,
                "left_out": 0, "tokens": 560, "stream_tokens": 560},
}  # fmt: skip


def test_page_json_and_terminal_say_the_same(tmp_path, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.json").write_text(json.dumps(DATA))
    config = load_config(None, {"paths.root": str(tmp_path)})
    counted = stats(config)
    assert json.loads((folder / "stats.json").read_text()) == counted
    assert counted["train"]["by_objective"]["sfim"]["share_of_files"] == 0.75
    assert counted["train"]["by_objective"]["ntp"]["share_of_tokens"] == 0.25
    assert counted["train"]["by_strategy"]["header"]["share"] == pytest.approx(1 / 3)
    printed = capsys.readouterr().out
    for text in ("sfim", "75.0%", "whole node", "no_grammar: 7 files (abap 7)", "3.10% padding", "stats.html"):
        assert text in printed
    page = (folder / "stats.html").read_text()
    for text in ("whole node", "8–15", "abap: its language has no grammar", "Packing", "3.1"):
        assert text in page
    assert "<script>alert" not in page
    stats(config, out=tmp_path / "elsewhere.html")
    assert (tmp_path / "elsewhere.json").exists()


def test_shares_of_each_table_add_up():
    train = summary(DATA)["train"]
    for name in ("by_objective", "by_mode"):
        assert sum(value["share_of_files"] for value in train[name].values()) == pytest.approx(1)
    for name in ("by_strategy", "by_node", "middle_lengths"):
        assert sum(value["share"] for value in train[name].values()) == pytest.approx(1)


def test_without_data_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"data\.json"):
        stats(load_config(None, {"paths.root": str(tmp_path)}))
