"""Curves of middles completed while training, from the records of a small metrics file."""

import json
import subprocess
import sys

import numpy as np
import pytest
from report_pages import HOSTILE, Page
from report_run import train_record, write

from aixmeg.report.infill_curves import infill_curves
from aixmeg.report.load import read_metrics
from aixmeg.report.scale import step_axis

COUNTS = {"Python": 3, "C": 1, "Go": 2}


def scores(exact, similarity, middles):
    return {"infill_exact_match": exact, "infill_edit_similarity": similarity, "infills": middles}


def record(step, exact, languages=COUNTS):
    parts = {name: {"ntp_loss": 2.0, **scores(exact, exact / 2, number)} for name, number in languages.items()}
    parts["SQL"] = {"ntp_loss": 3.0, "middle_loss": None}  # a language without a middle
    return {"kind": "valid", "step": step, "ntp_loss": 2.0, "middle_loss": 1.0, **scores(exact, exact / 2, 6),
            "languages": parts}  # fmt: skip


@pytest.fixture
def page(whole_run):
    """The page that `aixmeg report` writes where torch cannot be imported."""

    def make(lines):
        run = whole_run.paths.at("run")
        write(run / "metrics.jsonl", lines if isinstance(lines, str) else "\n".join(map(json.dumps, lines)) + "\n")
        code = "import sys; sys.modules['torch'] = None; from aixmeg.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "report", "--paths.root", str(whole_run.paths.root)]
        subprocess.run(command, check=True, capture_output=True)
        return Page(run / "report.html")

    return make


def plots(page):
    """Of each chart whose label says infills: its spoken label and {curve: [[step, value] …]}."""
    labels = [a["aria-label"] for tag, a in page.elements if tag == "svg" and a.get("role") == "img"]
    series = [json.loads(a["data-series"]) for tag, a in page.elements if tag == "div" and "data-series" in a]
    pairs = [(label, found) for label, found in zip(labels, series, strict=True) if label.startswith("Infills")]
    return [
        (
            label,
            {one["name"]: [[step, value.replace("\u00a0", " ")] for _, step, value in one["rows"]] for one in found},
        )
        for label, found in pairs
    ]


def test_each_score_has_a_curve_of_all_and_of_each_language(page):
    found = page([train_record(10), record(10, 0.25), train_record(20), record(20, 0.5)])
    (spoken, exact), (_, similarity) = plots(found)
    assert list(exact) == list(similarity) == ["all", "Python", "Go", "C"]
    assert exact["Go"] == [["10", "25 %"], ["20", "50 %"]]
    assert similarity["Python"] == similarity["all"] == [["10", "12.5 %"], ["20", "25 %"]]
    assert spoken.startswith("Infills: exact match over steps: all from 0.25 at step 10 to 0.5 at step 20; Python from")
    assert "Infills at step 20 by language" in found.text


def test_a_running_training_and_one_that_was_resumed(page):
    """A last line in the making; a validation that is trained again; one whose language has no middle yet."""
    lines = [train_record(10), record(10, 0.25), train_record(20), record(20, 0.75), train_record(15), train_record(20),
             record(20, 0.5, {"Python": 3})]  # fmt: skip
    text = "\n".join(map(json.dumps, lines)) + '\n{"kind": "valid", "step": 30, "infill_exact'
    (_, exact), _ = plots(page(text))
    assert exact["all"] == exact["Python"] == [["10", "25 %"], ["20", "50 %"]]
    assert exact["C"] == [["10", "25 %"]]


def test_without_completions_there_is_no_chart(page):
    plain = {"kind": "valid", "step": 10, "ntp_loss": 2.0, "middle_loss": 1.0, "languages": {"C": {"ntp_loss": 2.0}}}
    assert plots(page([train_record(10), plain])) == []


def test_more_languages_than_colours_are_in_the_table(page):
    many = {f"language {number}": number for number in range(1, 10)}
    found = page([train_record(10), record(10, 0.5, many)])
    assert list(plots(found)[0][1]) == ["all", *(f"language {number}" for number in range(9, 3, -1))]
    assert "the 6 languages with most middles" in found.text and "language 1" in found.text


def test_what_is_no_score_is_left_out(tmp_path):
    bad = {**record(10, 0.5), "languages": {HOSTILE: {"infills": 2, "infill_exact_match": "1"}, "C": None, "Go": [1]}}
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, [bad, {**record(20, 0.5), "languages": 3}])))
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    drawn = infill_curves(metrics, step_axis(np.array([10.0, 20.0])))
    assert "<script" not in drawn and "<img" not in drawn and "Infills" in drawn
