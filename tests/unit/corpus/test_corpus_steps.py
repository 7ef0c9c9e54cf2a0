"""How documents go through the table of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from corpus_trees import check_nothing_lost, corpus_digest, plain, python_file, write_tree

from aixmeg.config import CorpusConfig
from aixmeg.corpus import decide, decisions, read_corpus
from aixmeg.corpus.build import build_corpus
from aixmeg.corpus.document import Document
from aixmeg.corpus.reasons import REASONS, Dropped
from aixmeg.corpus.sources import inputs, walk
from aixmeg.corpus.steps import CLEAN, SCAN, STEP_ORDER, Row, Steps


class Noted:
    """A step that writes down what it is called with."""

    def __init__(self, name: str, log: list[str], drop: str = "") -> None:
        self._name, self._log, self._drop = name, log, drop

    def __call__(self, document: Document) -> None:
        self._log.append(f"{self._name} {document.path}")
        if document.path == self._drop:
            raise Dropped("syntax_errors")


class Preparing(Noted):
    """A step that wants its documents beforehand."""

    def prepare(self, documents: list[Document]) -> None:
        self._log.append(f"prepare {' '.join(one.path for one in documents)}")


def documents(*paths: str) -> list[Document]:
    return [Document(repository="r", path=path, language="python", content=b"") for path in paths]


def test_a_dropped_document_meets_no_later_step() -> None:
    log: list[str] = []
    rows = [Row("one", lambda _: Noted("one", log, drop="b")), Row("two", lambda _: Preparing("two", log, drop="c")),
            Row("three", lambda _: Noted("three", log))]  # fmt: skip
    at: list[int] = []
    steps = Steps(rows, CorpusConfig())
    dropped = steps(documents("a", "b", "c"), at.append)
    assert log == ["one a", "one b", "one c", "prepare a c", "two a", "three a", "two c"]
    assert [(drop.step, drop.reason) if drop else None for drop in dropped] == [
        None, ("one", "syntax_errors"), ("two", "syntax_errors"),
    ]  # fmt: skip
    assert at == [0, 1, 2, -1, 0, 2, -1]  # a crash is blamed on the document at hand
    assert set(steps.spent()) == {"one", "two", "three"}
    assert steps.spent() == {}


def test_steps_are_switched_by_their_section_and_prose_passes_steps_for_code() -> None:
    log: list[str] = []
    rows = [Row(name, lambda _, name=name: Noted(name, log), code_only=name == "defects")
            for name in ("scrub", "defects", "unnamed")]  # fmt: skip
    off = CorpusConfig(**plain())
    text = documents("a")
    text[0].tags["kind"] = "prose"
    Steps(rows, off)(documents("b"), lambda _: None)
    Steps(rows, CorpusConfig())(text, lambda _: None)
    assert log == ["unnamed b", "scrub a", "unnamed a"]


def test_every_step_of_the_table_is_in_the_funnel_and_can_be_switched_off() -> None:
    for row in (*SCAN, *CLEAN):
        assert row.name in STEP_ORDER
        assert row.name == "syntax" or hasattr(getattr(CorpusConfig(), row.name), "enabled")
    assert {step for step, _ in decisions.REASONS} <= set(STEP_ORDER)
    assert {reason for _, reason in decisions.REASONS} <= set(REASONS) | {"licence_permissive", "licence_public_domain"}


def everything(**changes: Any) -> CorpusConfig:
    """All steps on; unknown licences are kept."""
    default = CorpusConfig()
    licence = type(default.licence)(unknown="keep")
    return CorpusConfig(**{"min_file_bytes": 1, "licence": licence} | changes)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    licence = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software"
    files: dict[str, str | bytes] = {}
    for repository in range(5):
        for index in range(6):
            files[f"r{repository}/m{index}.py"] = python_file(repository * 100 + index, 3 + index)
        files[f"r{repository}/LICENSE"] = f"MIT License\n\nCopyright\n\n{licence}\n"
    files["r0/copy.py"] = files["r1/m1.py"]
    files["r2/gpl.py"] = "# SPDX-License-Identifier: GPL-3.0-only\n" + python_file(999)
    files["r3/broken.py"] = "def broken( word word return ((\n" * 20
    mail = "j.kowalska" + "@" + "nordlys-data.de"
    files["r4/mail.py"] = f"# Author: Jana Kowalska <{mail}>\n" + python_file(777, 9)
    return write_tree(tmp_path / "src", files)


def test_all_steps_together(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (inputs, walk):
        monkeypatch.setattr(module, "RANGE_FILES", 4)
    monkeypatch.setattr(decide, "SHARD_BYTES", 2000)
    reports = []
    for workers in (1, 2):
        report = build_corpus(everything(sources=(source,), workers=workers), tmp_path / f"out{workers}")
        check_nothing_lost(report)
        assert set(report["timing"]["cpu"]) >= {"scan", "gather", "judge", "decide", "clean", "order", "clean.syntax"}
        assert 0 < report["timing"]["cpu_seconds"] < 60
        del report["seconds"], report["timing"]
        reports.append(report)
    assert reports[0] == reports[1]
    assert corpus_digest(tmp_path / "out1") == corpus_digest(tmp_path / "out2")
    dropped = {reason: count["files"] for reason, count in reports[0]["dropped"].items()}
    assert dropped["exact_duplicate"] == dropped["licence_copyleft"] == dropped["syntax_errors"] == 1
    kept = {f"{file.repository}/{file.path}": file for file in read_corpus(tmp_path / "out1")}
    assert "nordlys-data" not in kept["r4/mail.py"].text
    assert reports[0]["counts"]["scrub.email"] == 1
    assert any(record["file"] == "r4/mail.py" for records in reports[0]["audit"].values() for record in records)
    assert "GPL-3.0-only" in reports[0]["licences"]["expressions"]
    assert [stage["step"] for stage in reports[0]["funnel"]] == [
        step for step in STEP_ORDER if step in {stage["step"] for stage in reports[0]["funnel"]}
    ]  # fmt: skip
