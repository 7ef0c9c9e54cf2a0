"""`--data hf:NAME`: what `datasets` gives is evaluated as a file is, and what it cannot load is a clear error."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from aixmeg import cli
from aixmeg.errors import UserError
from aixmeg.eval.command import evaluate
from aixmeg.eval.hub import HubName, hub_rows
from aixmeg.eval.task import digest, read_records

ROWS = [
    {"task_id": f"{i}", "task_type": "single_line", "pre_mask_code": "int a;\n", "post_mask_code": "\n}",
     "canonical_solution": f"a = {i};"} for i in range(3)
]  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A stand-in for the library that knows one data set; what it was asked for."""
    calls: list[tuple] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> list[dict]:
        calls.append((name, config, split))
        if name != "owner/fim-eval":
            raise ConnectionError(f"Couldn't reach {name!r} on the Hub")
        return ROWS if split == "test" else []

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    hub_rows.cache_clear()
    yield calls
    hub_rows.cache_clear()


def test_a_name_is_evaluated_as_a_file_is(asked: list[tuple], tmp_path: Path) -> None:
    arguments = ["--data", "hf:owner/fim-eval@java", "--model", "oracle", "--out", str(tmp_path / "hub")]
    assert cli.main(["eval", "fim-eval", *arguments]) == 0
    assert asked == [("owner/fim-eval", "java", "test")]
    (tmp_path / "java.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    evaluate("fim-eval", model="oracle", data=tmp_path / "java.jsonl", out=tmp_path / "file")
    lines = [(tmp_path / name / "samples.jsonl").read_bytes() for name in ("hub", "file")]
    assert lines[0] == lines[1]
    settings = json.loads((tmp_path / "hub" / "settings.json").read_text())
    assert (settings["data"], settings["tasks"]) == ("hf:owner/fim-eval@java", 3)
    assert settings["data_sha256"] == digest(Path("hf:owner/fim-eval@java:test")) != digest(tmp_path / "java.jsonl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("hf:other/set@small:train", "cannot load 'other/set', configuration small, split 'train': ConnectionError"),
        ("hf:other/set", "configuration default, split 'test': .* without network take a copy"),
        ("hf:owner/fim-eval:valid", "split 'valid', holds no records"),
        ("hf:", "names no data set; write hf:NAME"),
        ("hf:@java", "names no data set"),
    ],
)
def test_what_cannot_be_loaded(data: str, message: str, asked: list[tuple], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        evaluate("fim-eval", model="oracle", data=Path(data), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_record_is_named_by_its_row(asked: list[tuple], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS[1], "task_id", 7)
    with pytest.raises(UserError, match=r"hf:owner/fim-eval@java, line 2, field 'task_id': 7 is not a string"):
        [record.text("task_id") for record in read_records(Path("hf:owner/fim-eval@java"))]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    hub_rows.cache_clear()
    with pytest.raises(UserError, match=r"read by the `datasets` library.*pip install datasets"):
        list(read_records(Path("hf:owner/fim-eval")))


def test_names() -> None:
    assert HubName.of(Path("hf:a/b@c:d")) == HubName("a/b", "c", "d")
    assert HubName.of(Path("hf:/data/set")) == HubName("/data/set", None, "test")
    assert HubName.of(Path("data/hf.jsonl")) is None


def test_the_library_itself_on_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the datasets library is not installed")
    folder = tmp_path / "java"
    folder.mkdir()
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    hub_rows.cache_clear()
    assert hub_rows(HubName.of(Path(f"hf:{folder}"))) == ROWS
    summary = evaluate("fim-eval", model="oracle", data=Path(f"hf:{folder}"), out=tmp_path / "out")
    assert summary["metrics"]["java/single_line"]["exact_match"]["tasks"] == 3
    with pytest.raises(UserError, match=r"split 'valid': ValueError: Unknown split"):
        hub_rows(HubName.of(Path(f"hf:{folder}:valid")))
