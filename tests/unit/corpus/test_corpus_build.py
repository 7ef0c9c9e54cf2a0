"""The whole build on small trees."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from corpus_trees import corpus_digest, plain, python_file, write_tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aixmeg.config import Config, CorpusConfig, PathsConfig
from aixmeg.config.corpus import OrderConfig
from aixmeg.corpus import SourceFile, command, decide, read_corpus
from aixmeg.corpus.source_file import read_index, shard_name
from aixmeg.corpus.sources import inputs
from aixmeg.errors import UserError

ODD_TEXTS = {
    "crlf.py": "x = 1\r\ny = 2\r\n",
    "bom.py": "\ufeffx = 1\n",
    "separators.py": "x = '\u2028\u2029\x85\x0b\x0c\x1c'\n",
    "return.py": "x = 1\ry = 2\r",
    "metaspace.py": "x = '▁▁<AIX-SPAN-PRE>'\n",
    "control.py": "x = '<s></s><unk><0x0A>\x01\x7f'\n",
    "unicode.py": "é = '日本 😀 \U0010ffff e\u0301 \ufffd \u200b \u202e'\n",
    "no_newline.py": "x = 1",
    "blank.py": " \t\n\n   ",
    "quotes.py": "x = '\\u2028 \\ud800 \" \\\\'\n",
}


def test_text_round_trips_byte_for_byte(tmp_path: Path, build) -> None:
    source = write_tree(tmp_path / "src", {f"r/{path}": text for path, text in ODD_TEXTS.items()})
    build(source, max_error_share=1.0)
    kept = {file.path: file for file in read_corpus(tmp_path / "corpus")}
    assert set(kept) == set(ODD_TEXTS)
    for path, file in kept.items():
        content = (source / "r" / path).read_bytes()
        assert file.text.encode() == content
        assert file.bytes == len(content)
        assert file.text == ODD_TEXTS[path]
    lines = (tmp_path / "corpus" / shard_name(0)).read_bytes().splitlines(keepends=True)
    assert len((tmp_path / "corpus" / shard_name(0)).read_bytes().split(b"\n")) == len(ODD_TEXTS) + 1
    assert all(isinstance(json.loads(line), dict) for line in lines if line.endswith(b"}\n"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_is_one_line_that_gives_it_back(text: str) -> None:
    file = SourceFile(
        repository=text, path=text, language="c", text=text, bytes=len(text.encode()), sha256="", error_share=0.0
    )
    line = file.to_line()
    assert line.count(b"\n") == 1
    assert SourceFile(**json.loads(line)) == file


def test_every_nuisance_is_counted(tmp_path: Path, build) -> None:
    good = python_file(0)
    source = write_tree(tmp_path / "src", {
        "a/good.py": good, "a/copy.py": good, "b/good.py": good, "b/other.py": python_file(1),
        "a/nul.py": b"x = 1\0\n", "a/utf16.py": "x = 1\n".encode("utf-16"), "a/latin.py": b"x = '\xe9'\n",
        "a/surrogate.py": b"x = '\xed\xa0\x80'\n", "a/overlong.py": b"x = '\xc0\xaf'\n",
        "a/broken.py": "x = ) ( ] [ } {\n" * 9, "a/slow.lua": "|" * 20_000, "a/crash.agda": "'" * 20_000,
        "a/nested.py": "x = " + "(" * 10_000 + "1" + ")" * 10_000 + "\n", "a/empty.py": "", "a/x.unknown": "?",
        "a/x.abap": "REPORT z.\n",
    })  # fmt: skip
    (source / "a/loop").symlink_to(source)
    with (source / "a/huge.py").open("wb") as file:
        file.truncate(100_000_000)  # sparse: if it were read, it would be NUL bytes
    report = build(source)
    assert {reason: count["files"] for reason, count in report["dropped"].items()} == {
        "symlink": 1, "unknown_language": 1, "no_grammar": 1, "too_small": 1, "too_large": 1, "nul_bytes": 2,
        "invalid_utf8": 2, "lone_surrogate": 1, "exact_duplicate": 2, "syntax_errors": 1, "parse_limit": 1,
        "parser_crash": 1,
    }  # fmt: skip
    assert report["examples"]["exact_duplicate"] == ["a/good.py", "b/good.py"]  # a/copy.py comes first
    assert sorted(f"{file.repository}/{file.path}" for file in read_corpus(tmp_path / "corpus")) == [
        "a/copy.py", "a/nested.py", "b/other.py",
    ]  # fmt: skip
    assert (report["repositories"], report["kept"]["files"], report["by_language"]["python"]["files"]) == (2, 3, 3)
    assert report["sources"] == [str(source)]


def test_same_bytes_for_any_number_of_workers(tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "RANGE_FILES", 7)
    monkeypatch.setattr(decide, "SHARD_BYTES", 1500)
    files = {f"r{repository}/m{index}.py": python_file(repository * 100 + index, 1 + index)
             for repository in range(12) for index in range(6)}  # fmt: skip
    source = write_tree(tmp_path / "src", files | {"r3/bad.py": ") (" * 50})
    reports = [build(source, output=tmp_path / f"out{workers}", workers=workers) for workers in (1, 3)]
    assert len(corpus_digest(tmp_path / "out1")) == 3 * reports[0]["shards"] > 12
    assert corpus_digest(tmp_path / "out1") == corpus_digest(tmp_path / "out3")
    for report in reports:
        del report["seconds"], report["timing"]
    assert reports[0] == reports[1]
    files_of: dict[str, list[str]] = {}
    for file in read_corpus(tmp_path / "out3"):
        files_of.setdefault(file.repository, []).append(file.path)
    assert files_of == {f"r{number}": [f"m{index}.py" for index in range(6)] for number in range(12)}


def test_repositories_stand_in_random_order_each_in_one_shard(
    tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "SHARD_BYTES", 4 * len(python_file(100)))
    monkeypatch.setattr(inputs, "RANGE_FILES", 4)
    files = {f"r{repository:02d}/m{index}.py": python_file(100 + repository * 10 + index)
             for repository in range(40) for index in range(9 if repository == 2 else 3)}  # fmt: skip
    source = write_tree(tmp_path / "src", files)
    order: dict[int, list[str]] = {}
    for seed in (1, 2):
        report = build(source, output=tmp_path / f"out{seed}", order=OrderConfig(enabled=False, seed=seed))
        assert report["shards"] > 10
        names = [file.repository for file in read_corpus(tmp_path / f"out{seed}")]
        runs = [name for name, _ in itertools.groupby(names)]
        assert sorted(runs) == sorted(set(names)) == [f"r{number:02d}" for number in range(40)]  # each in one run
        order[seed] = runs
    assert order[1] != sorted(order[1])
    assert order[1] != order[2]


def test_the_index_tells_where_lines_and_syntax_begin(tmp_path: Path, build) -> None:
    build(write_tree(tmp_path / "src", {f"r/m{index}.py": python_file(index, 1 + index) for index in range(9)}))
    shard = tmp_path / "corpus" / shard_name(0)
    index = read_index(shard)
    assert index is not None
    content, spans = shard.read_bytes(), shard.with_suffix(".spans").read_bytes()
    lines = content.splitlines(keepends=True)
    assert index["line"].tolist() == [content.index(line) for line in lines]
    ends = np.cumsum(index["spans_bytes"])
    assert index["spans"].tolist() == [0, *ends[:-1].tolist()]
    assert int(ends[-1]) == len(spans)


def test_rebuild_replaces_the_corpus(tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "SHARD_BYTES", len(python_file(0)))
    source = write_tree(tmp_path / "src", {f"r/m{index}.py": python_file(index) for index in range(3)})
    assert build(source)["shards"] == 3
    (source / "r/m2.py").unlink()
    assert build(source)["shards"] == 2
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == [
        "report.json", *(f"shard-0000{number}.{kind}" for number in (0, 1) for kind in ("index.npy", "jsonl", "spans"))
    ]  # fmt: skip
    assert [file.path for file in read_corpus(tmp_path / "corpus")] == ["m0.py", "m1.py"]


def test_output_inside_a_source_is_not_read(tmp_path: Path, build) -> None:
    source = write_tree(tmp_path / "src", {"r/a.py": python_file(0), "corpus/old.py": python_file(1)})
    report = build(source, output=source / "corpus")
    assert report["kept"]["files"] == 1


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({}, {}, r"would be empty: 0 files were found in .*; give corpus\.sources"),
        ({"r/a.unknown": "x"}, {}, r"1 files were found .* 1 unknown_language \(.*\); give"),
        ({"r/a.py": ") ( ] [" * 9}, {}, r"1 syntax_errors"),
        ({"r/a.py": "x = 1\n"}, {"languages": ("c",)}, r"1 language_not_selected .*relax corpus\.languages"),
    ],
)
def test_empty_corpus_is_a_user_error_and_leaves_nothing(tmp_path: Path, build, files, settings, message) -> None:
    (tmp_path / "src").mkdir()
    with pytest.raises(UserError, match=message):
        build(write_tree(tmp_path / "src", files), **settings)
    assert not (tmp_path / "corpus").exists()


def test_failed_build_keeps_the_earlier_corpus(tmp_path: Path, build) -> None:
    source = write_tree(tmp_path / "src", {"r/a.py": python_file(0)})
    build(source)
    before = corpus_digest(tmp_path / "corpus")
    with pytest.raises(UserError, match="would be empty"):
        build(source, languages=("c",))
    assert corpus_digest(tmp_path / "corpus") == before
    assert [file.path for file in read_corpus(tmp_path / "corpus")] == ["a.py"]


def test_readers_refuse_an_unfinished_or_damaged_corpus(tmp_path: Path, build) -> None:
    with pytest.raises(UserError, match="no finished corpus"):
        next(read_corpus(tmp_path / "corpus"))
    build(write_tree(tmp_path / "src", {"r/a.py": python_file(0)}))
    shard = tmp_path / "corpus" / shard_name(0)
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"shard-00000\.jsonl, line 1"):
        list(read_corpus(tmp_path / "corpus"))
    shard.write_bytes(b"{}\n")
    with pytest.raises(UserError, match="not a line of a corpus"):
        list(read_corpus(tmp_path / "corpus"))
    shard.unlink()
    with pytest.raises(UserError, match=r"shard-00000\.jsonl is missing"):
        list(read_corpus(tmp_path / "corpus"))


def test_command_prints_what_was_kept_and_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_tree(tmp_path / "src", {"r/a.py": python_file(0), "r/b.py": python_file(0), "r/c.unknown": "x"})
    config = Config(paths=PathsConfig(root=tmp_path), corpus=CorpusConfig(sources=(source,), **plain()))
    report = command.build(config)
    printed = capsys.readouterr().out
    assert report == json.loads((tmp_path / "corpus/report.json").read_text())
    for words in ("kept", "python", "dropped", "exact_duplicate", "unknown_language", "1 of 3 files"):
        assert words in printed
