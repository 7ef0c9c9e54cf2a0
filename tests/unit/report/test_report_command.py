import base64
import errno
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
import report_run
from report_pages import HOSTILE, Page
from report_run import lines_of, train_record, write

from aixmeg.errors import UserError
from aixmeg.report.command import report
from aixmeg.watch.failures import Failure, write_failure


def test_a_whole_run(whole_run, capsys):
    out = report(whole_run)
    assert capsys.readouterr().out == f"report: {out}\n"
    assert out == whole_run.paths.at("run") / "report.html"
    page = Page(out)
    header = page.texts["header"].replace("\u00a0", " ")
    assert "At step 300 of 1,000 and 1.2 M tokens the held-out loss is 3.636" in header
    assert "unigram model of the same tokens scores 6.871" in header
    for expected in (
        "3.235 lower than unigram (6.871)",  # tiles
        "unigram, NTP 6.871",  # reference line
        "unigram, middles 6.402",
        "4,312 of 5,210 files kept (82.8 %): 41.8 MB in 63 repositories",
        "syntax errors",
        "cpython/Lib/test/bad_coding.py",
        "Folders not entered: generated 1,675, own repository 2.",
        "held out 212 examples with 881 k tokens",
        "function definition",
        "exact match",
        "differs from the file",
        "cut at the token limit",
        "Bytes per token on held-out files",
        "2025-01-02 03:04 UTC",
        "2.13.0+cpu",
        "num_query_groups: 8",
    ):
        assert expected in page.text, expected


def test_failures_and_slow_ranks_are_listed_where_there_are_some(whole_run):
    assert "Failures and slow ranks" not in Page(report(whole_run)).text
    run = whole_run.paths.at("run")
    failure = Failure(kind="hung", rank=3, ranks=8, host="<b>n2", pid=1, step=58, phase="data", cause="stood", time=1e9)
    write_failure(run / "failures/a", failure)
    resumed = {"event": "resume", "time": 1e9 + 90, "step": 50}
    (run / "events.jsonl").write_text(json.dumps(resumed) + "\n")
    source = report(whole_run).read_text(encoding="utf-8").replace("\u00a0", " ")
    rows = [re.findall(r">([^<]+)<", row) for row in re.findall(r"<tr>(.*?)</tr>", source)]
    (row,) = [row for row in rows if row[0] == "2001-09-09 01:46:40 UTC"]
    assert row[1:3] == ["rank 3 of 8 (host &lt;b&gt;n2, pid 1) hung in the data of step 58: stood", "7"]
    assert row[3].startswith(("1 min", "2 min"))
    assert 'href="#troubles"' in source


def test_tables_hold_files_sizes_and_shares(whole_run):
    source = report(whole_run).read_text(encoding="utf-8").replace("\u00a0", " ")
    rows = [re.findall(r">([^<]+)<", row) for row in re.findall(r"<tr>(.*?)</tr>", source)]
    assert ["python", "3,601", "35.2 MB", "84.2 %"] in rows  # corpus
    assert ["too small", "402", "9.1 kB"] in rows
    assert ["SFIM", "2,833", "8.7 M", "69.1 %"] in rows  # dataset
    assert ["PSM", "1,420", "4.4 M", "34.6 %"] in rows
    assert ["if statement", "812", "40.5 %"] in rows
    assert ["c", "2.61"] in rows  # tokenizer


def test_nothing_comes_from_elsewhere(whole_run):
    page = Page(report(whole_run))
    for tag, attributes in page.elements:
        assert tag not in {"link", "img", "iframe", "object", "base", "form", "image", "use"}
        for name, value in attributes.items():
            assert name not in {"src", "srcset", "action", "style", "xlink:href"}
            assert not name.startswith("on")
            assert name != "href" or value.startswith("#")
    assert "url(" not in page.texts["style"]
    assert "@import" not in page.texts["style"]


def test_links_lead_somewhere_and_ids_are_unique(whole_run):
    page = Page(report(whole_run))
    ids = page.ids()
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if "href" in attributes:
            assert attributes["href"][1:] in ids
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def test_policy_allows_exactly_our_style_and_script(whole_run):
    page = Page(report(whole_run))
    (policy,) = [a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a]
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.texts[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def spoil(value):
    """Every string and every key of a JSON tree made hostile, numbers kept."""
    if isinstance(value, dict):
        return {(key if key in KEPT else key + HOSTILE): spoil(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spoil(item) for item in value]
    return value + HOSTILE if isinstance(value, str) else value


KEPT = {
    *("skipped_folders", "held_out"),
    *("repositories", "found", "kept", "dropped", "by_language", "examples", "seconds", "sources", "files", "bytes"),
    *("path", "language", "mode", "prefix", "suffix", "expected", "completion", "stopped"),
    *("unigram", "ntp", "middle", "tokenizer_sha256", "versions", "ranks", "started", "train", "valid", "tokens"),
    *("by_objective", "by_mode", "by_node", "vocab_size", "bytes_per_token"),
}


def test_hostile_text_stays_text(whole_run):
    benign = Page(report(whole_run))
    run, paths = whole_run.paths.at("run"), whole_run.paths
    write(run / "infills.json", spoil(report_run.INFILLS))
    write(run / "run.json", spoil(report_run.FACTS))
    write(paths.at("corpus") / "report.json", spoil(report_run.CORPUS))
    write(paths.at("data") / "data.json", spoil(report_run.DATA))
    write(paths.at("tokenizer") / "tokenizer_report.json", spoil(report_run.TOKENIZER))
    write(run / "config.yaml", 'train:\n  seed: "</script><img src=x onerror=alert(1)>"\n# </pre><img onerror=x>\n')
    completion = spoil({**report_run.INFILLS[0], "path": "new"})
    page = Page(report(whole_run, completion=completion))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in benign.elements}
    assert page.texts["script"] == benign.texts["script"]
    assert page.texts["style"] == benign.texts["style"]
    assert page.text.count("<img src=x onerror=alert(1)>") > 40  # it is all there, as text
    assert "\u202e" not in page.source
    assert "[U+202E]" in page.text


def test_hostile_folder_name(config, tmp_path):
    from dataclasses import replace

    root = tmp_path / "<img src=x onerror=alert(1)>"
    config = replace(config, paths=replace(config.paths, root=root))
    report_run.fill(config)
    page = Page(report(config))
    assert "img" not in {tag for tag, _ in page.elements}
    assert "<img src=x" in page.texts["h1"]


@pytest.mark.parametrize("stage", ["run", "corpus", "tokenizer", "data"])
def test_one_stage_alone_makes_a_page(config, whole_run, stage, tmp_path):
    import shutil

    for other in {"run", "corpus", "tokenizer", "data"} - {stage}:
        shutil.rmtree(config.paths.at(other))
    page = Page(report(config, out=tmp_path / "page.html"))
    missing = {
        "run": "metrics.jsonl",
        "corpus": "report.json",
        "tokenizer": "tokenizer_report.json",
        "data": "data.json",
    }
    for other, file in missing.items():
        assert (f"There is no {file}" in page.text) == (other != stage)


def test_each_part_may_hold_anything(whole_run):
    run, paths = whole_run.paths.at("run"), whole_run.paths
    targets = [
        run / "run.json",
        run / "infills.json",
        run / "config.yaml",
        paths.at("corpus") / "report.json",
        paths.at("data") / "data.json",
        paths.at("tokenizer") / "tokenizer_report.json",
    ]
    odd = [None, 3, "text", [], {}, [[]], {"by_language": []}]
    odd += [dict.fromkeys(KEPT, value) for value in (None, 0, -1, "x", [1], {"a": 1}, {"a": {"files": "x"}}, 1e308)]
    for content in odd:
        for target in targets:
            write(target, json.dumps(content))
        Page(report(whole_run))
        for target in targets:
            write(target, json.dumps([content]))
        Page(report(whole_run))


def metrics_page(config, lines):
    write(config.paths.at("run") / "metrics.jsonl", "\n".join(lines) + "\n")
    return Page(report(config))


def test_a_run_without_a_step(whole_run):
    page = metrics_page(whole_run, [])
    assert "No training step has been logged yet" in page.texts["header"]
    assert "No step has been logged yet." in page.text


def test_what_was_measured_has_a_curve(whole_run):
    page = metrics_page(whole_run, [json.dumps(train_record(step)) for step in range(1, 9)])
    for title in ("Learning rate", "Goodput", "Memory", "Data", "Communication", "Norm of attention's weights"):
        assert title in page.text, title
    assert "MFU" not in page.text  # a device of no known peak


def test_a_single_step(whole_run):
    page = metrics_page(whole_run, [json.dumps(train_record(41))])
    assert "At step 41 of 1,000" in page.texts["header"].replace("\u00a0", " ")
    assert len([1 for tag, _ in page.elements if tag == "figure"]) > 4


def test_validation_alone(whole_run):
    page = metrics_page(whole_run, [json.dumps(report_run.valid_record(10))])
    assert "held-out NTP" in page.text


def test_no_middle_loss(whole_run):
    record = {"kind": "valid", "step": 3, "ntp_loss": 5.0, "middle_loss": None}
    page = metrics_page(whole_run, [json.dumps(train_record(3)), json.dumps(record)])
    assert "Held-out loss, NTP" in page.text
    assert "Held-out loss, middles" not in page.text


def test_values_that_are_not_finite_are_said(whole_run):
    records = [train_record(step) for step in range(1, 100)]
    for step in (10, 11, 90):
        records[step - 1]["loss"] = float("nan")
    records[50]["grad_norm"] = float("inf")
    page = metrics_page(whole_run, [json.dumps(record) for record in records])
    assert "train loss is not a finite number at 3 steps (10, 11, 90)" in page.text
    assert "gradient norm is not a finite number at 1 step (51)" in page.text
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', page.source.split("<body>")[1], re.I)


def test_a_cut_line_is_said(whole_run):
    path = whole_run.paths.at("run") / "metrics.jsonl"
    write(path, "\n".join(lines_of(range(1, 20))) + '\n{"kind": "tr')
    assert "last line of metrics.jsonl is incomplete" in Page(report(whole_run)).text


def test_a_long_run_stays_a_small_page_and_keeps_its_spikes(whole_run):
    records = [f'{{"kind": "train", "step": {s}, "loss": {3 + s % 7 / 10}, "lr": 1e-4}}' for s in range(1, 100_001)]
    records[77_777] = '{"kind": "train", "step": 77778, "loss": 55.5, "lr": 1e-4}'
    page = metrics_page(whole_run, records)
    assert len(page.source) < 300_000
    (d,) = [a["d"] for t, a in page.elements if t == "path" and a["class"] == "line train faint"]
    top = min(int(y) for y in re.findall(r" (\d+)", d))
    assert top == round((1 - 55.5 / 60) * 10_000)
    again = Page(report(whole_run))
    strip = re.compile(r"Written [^<]*")
    assert strip.sub("", again.source) == strip.sub("", page.source)


def test_the_completion_comes_first_and_once(whole_run):
    first = Page(report(whole_run, completion=report_run.INFILLS[1]))
    assert first.text.index("numpy/core/vector.h") < first.text.index("requests/adapters.py")
    assert first.text.count("numpy/core/vector.h") == 1


def test_long_code_is_cut_around_the_cursor(whole_run):
    example = {
        **report_run.INFILLS[0],
        "prefix": "".join(f"before {i}\n" for i in range(1000)),
        "suffix": "x" * 1_000_000,
    }
    minified = {**example, "path": "minified", "prefix": "y" * 1_000_000}
    write(whole_run.paths.at("run") / "infills.json", [minified])
    page = Page(report(whole_run, completion=example))
    assert "… 986 lines above" in page.text
    assert "before 999" in page.text
    assert "before 985" not in page.text
    assert "… 997,000 characters below" in page.text
    assert "… 997,000 characters above" in page.text
    assert len(page.source) < 300_000


def test_code_is_shown_byte_for_byte(whole_run):
    prefix = "\n\n\tif a < b && c:\n"
    page = Page(report(whole_run, completion={"prefix": prefix, "completion": " y\n\n", "suffix": "\n z"}))
    assert f"{prefix} y\n\n\n z" in page.texts["pre"]


def test_out_and_refusals(whole_run, tmp_path, monkeypatch):
    out = report(whole_run, out=tmp_path / "deep" / "page.html")
    old = out.read_text()
    with pytest.raises(UserError, match="cannot write"):
        report(whole_run, out=tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        report(whole_run, out=out)
    assert out.read_text() == old
    assert list(out.parent.iterdir()) == [out]


def test_needs_neither_torch_nor_transformers(whole_run):
    code = (
        "import sys; from pathlib import Path; from aixmeg.config import Config, PathsConfig\n"
        "from aixmeg.report.command import report\n"
        "report(Config(paths=PathsConfig(root=Path(sys.argv[1]))))\n"
        "heavy = {'torch', 'megatron', 'transformers', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(whole_run.paths.root)], check=True)
