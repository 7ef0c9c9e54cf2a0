"""JSON lines and Parquet: column names, ranges, and rows that are broken in every way."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from source_documents import documents, dropped, kept, rules_and_inputs

from aixmeg.corpus.sources import jsonl, parquet
from aixmeg.errors import UserError

STACK = {"max_stars_repo_name": "o/r", "max_stars_repo_path": "src/a.py", "content": "x = 1\n", "lang": "Python",
         "max_stars_count": 7, "max_stars_repo_licenses": ["MIT", "Apache-2.0"], "size": 6, "hexsha": "0"}  # fmt: skip
STACK_2 = {"repo_name": "o/r", "path": "/src/a.py", "content": "x = 1\n", "language": "Python", "star_events_count": 7,
           "detected_licenses": ["MIT", "Apache-2.0"], "src_encoding": "UTF-8", "gha_license_id": "MIT"}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]], **settings: Any) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, **settings)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("row", [STACK, STACK_2])
def test_the_stack_needs_no_configuration(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    found, _ = documents(write(tmp_path / name, [row]))
    (one,) = found
    assert (one.repository, one.path, one.content, one.language) == ("o/r", "src/a.py", b"x = 1\n", "python")
    assert one.extra == {"stars": 7, "licences": ["MIT", "Apache-2.0"], "language": "Python"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_columns_of_other_names(tmp_path: Path, name: str) -> None:
    row = {"source": "x = 1\n", "where": "a.py", "project": "p", "likes": 3.0, "spdx": "MIT", "tongue": "python",
           "text": "other", "path": "other.py"}  # fmt: skip
    settings = {"content_column": "source", "path_column": "where", "repository_column": "project",
                "stars_column": "likes", "licence_column": "spdx", "language_column": "tongue"}  # fmt: skip
    (one,), _ = documents(write(tmp_path / name, [row]), **settings)
    assert (one.repository, one.path, one.content) == ("p", "a.py", b"x = 1\n")
    assert one.extra == {"stars": 3, "licences": ["MIT"], "language": "python"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_rows_without_repository_or_path(tmp_path: Path, name: str) -> None:
    found, _ = documents(write(tmp_path / name, [{"text": "x = 1\n", "language": "Python"}, {"text": "y"}]))
    assert [(one.repository, one.path[:4], one.path[-3:], one.reason) for one in found] == [
        ("a", "row-", ".py", None), ("a", "row-", found[1].path[-3:], "unknown_language"),
    ]  # fmt: skip
    (one,), _ = documents(write(tmp_path / name, [{"text": "x = 1\n", "path": "o/r/a.py"}]), repository_depth=2)
    assert (one.repository, one.path) == ("o/r", "a.py")


def test_the_column_names_the_language_only_where_the_path_does_not(tmp_path: Path) -> None:
    rows = [{"text": "int x;", "path": path, "lang": lang} for path, lang in
            [("a.h", "C"), ("a.py", "C"), ("b.h", "Python"), ("noext", "C++"), ("a.m", "MATLAB"), ("x.zzz",
            "Go")]]  # fmt: skip
    found, _ = documents(write(tmp_path / "a.jsonl", rows))
    assert [one.language for one in found] == ["c", "python", "c++", "c++", "matlab", "go"]


GOOD = json.dumps(STACK)
BROKEN = {
    b"{": "invalid_json", b"\xff\xfe": "invalid_json", b"[" * 100_000: "invalid_json", b"[1]": "wrong_type",
    b"3": "wrong_type",
    b'{"path": "a.py"}': "missing_column", b'{"path": "a.py", "text": null}': "missing_column",
    b'{"path": "a.py", "text": 5}': "wrong_type", b'{"path": 5, "text": "x"}': "wrong_type",
    b'{"path": "a.py", "text": "x\\ud800"}': "lone_surrogate", b'{"path": "../a.py", "text": "x = 1"}': "unsafe_path",
    b'{"path": "a\\u0000.py", "text": "x = 1"}': "bad_name", b'{"path": "a\\udcff.py", "text": "x = 1"}': "bad_name",
    b'{"path": "node_modules/a.js", "text": "x = 1"}': "skipped_folder",
    b'{"path": "a.py", "text": "", "repo": "r"}': "too_small",
}  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_row_is_one_counted_drop(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD.encode() + b"\n" + line + b"\n\n  \n" + GOOD.encode())
    found, _ = documents(tmp_path / "a.jsonl")
    assert [one.reason for one in found] == [None, BROKEN[line], None]


def test_too_many_broken_rows_stop_the_build(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"source": "x"}] * 30 + [STACK] * 20)
    with pytest.raises(UserError, match=r"30 of 50 rows of .*a.jsonl are broken.*content_column"):
        documents(path)
    assert len(dropped(documents(path, max_broken_share=0.6)[0])["missing_column"]) == 30
    documents(write(tmp_path / "b.jsonl", [{"source": "x"}] * 19))  # too few to judge by


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_long_line_is_passed_over_in_little_memory(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    long = json.dumps(STACK | {"content": "0123456789abcdef" * (50 << 16)}).encode()
    content = GOOD.encode() + b"\n" + long + b"\n" + GOOD.encode() + b"\n"
    path.write_bytes({"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending](content))
    rules, inputs = rules_and_inputs(path, max_expansion=0)
    del content
    tracemalloc.start()
    found = [one for part in inputs for one in part.documents(rules)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(one.reason, one.size) for one in found] == [(None, 6), ("too_large", len(long) + 1), (None, 6)]
    assert peak < 20 << 20 or ending == ".zst"


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text(st.sampled_from('ab\u2028\x85é"{} '), max_size=30), max_size=20),
    step=st.integers(1, 80), block=st.integers(1, 50), end=st.booleans(),
)  # fmt: skip
def test_ranges_together_hold_every_line_once(tmp_path_factory, lines, step, block, end) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    rows = [
        json.dumps({"path": f"{number}.py", "text": "x" + line}, ensure_ascii=False)
        for number, line in enumerate(lines)
    ]
    path.write_bytes(("\n".join(rows) + ("\n" if end else "")).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "RANGE_BYTES", step)
        patch.setattr("aixmeg.corpus.sources.streams._BLOCK", block)
        rules, inputs = rules_and_inputs(path)
        found = [one for part in inputs for one in part.documents(rules)]
    assert [one.content for one in found] == [("x" + line).encode() for line in lines]


def test_a_cut_gzip_keeps_the_whole_rows(tmp_path: Path) -> None:
    rows = [STACK | {"content": f"x = {number}  # {number * 7919 % 100_003:x}\n" * 40} for number in range(300)]
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    found, _ = documents(tmp_path / "a.jsonl.gz")
    assert found[-1].reason == "damaged_archive"
    assert 50 < len(found) < 250
    assert [one.content for one in found[:-1]] == [row["content"].encode() for row in rows[: len(found) - 1]]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(),
                                  pa.dictionary(pa.int32(), pa.string())])  # fmt: skip
def test_parquet_texts_of_every_type(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["x = 1\n", None, "é\u2028\n", "", "x" * 2000]
    column = pa.array([text if text is None or "binary" not in str(kind) else text.encode() for text in texts], kind)
    pq.write_table(pa.table({"content": column, "path": [f"{n}.py" for n in range(5)]}), tmp_path / "a.parquet")
    found, _ = documents(tmp_path / "a.parquet", max_file_bytes=1000)
    assert [(one.content, one.reason) for one in found] == [
        (b"x = 1\n", None), (None, "missing_column"), ("é\u2028\n".encode(), None), (None, "too_small"), (None,
        "too_large"),
    ]  # fmt: skip


def test_parquet_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [STACK | {"max_stars_repo_path": f"{number}.py", "content": f"x = {number}\n" * 9} for number in range(1000)]
    path = write(tmp_path / "a.parquet", rows, row_group_size=90)
    monkeypatch.setattr(parquet, "RANGE_BYTES", 20_000)
    found, _ = documents(path)
    assert [one.content for one in found] == [row["content"].encode() for row in rows]
    _, inputs = rules_and_inputs(path)
    assert 3 < sum(len(one.parts) for one in inputs) < 12


def test_parquet_columns_of_the_wrong_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": [1, 2]}), tmp_path / "a.parquet")
    assert [one.reason for one in documents(tmp_path / "a.parquet")[0]] == ["wrong_type"] * 2
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"no column content or text or code; its columns are body; .*content_column"):
        documents(tmp_path / "b.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 nothing PAR1"])
def test_what_is_no_parquet_is_one_counted_drop(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    assert dropped(documents(tmp_path / "a.parquet")[0]) == {"damaged_archive": ["a.parquet"]}


def test_flipped_bytes_in_parquet_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [STACK | {"content": f"x = {number}\n" * 50} for number in range(300)])
    data = bytearray(path.read_bytes())
    data[60:400] = bytes(340)
    path.write_bytes(data)
    assert dropped(documents(path)[0]).keys() <= {"damaged_archive", "missing_column", "too_small", "unknown_language"}


def test_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert documents(tmp_path / "a.jsonl")[0] == []
    assert kept(documents(tmp_path / "a.jsonl")[0]) == {}


def test_a_slice_of_a_column_keeps_its_own_texts() -> None:
    column = pa.array(["no", "a", None, "bc", "no"]).slice(1, 3)
    texts = parquet._Texts(column)
    assert [None if texts.size(index) is None else texts.read(index) for index in range(3)] == [b"a", None, b"bc"]
    assert [texts.size(index) for index in range(3)] == [1, None, 2]


@pytest.mark.parametrize("step", range(25, 60))
def test_a_range_that_begins_at_a_line_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    line = b'{"path": "a.py", "text": "xyz"}\n'  # 32 bytes
    (tmp_path / "a.jsonl").write_bytes(line * 20)
    monkeypatch.setattr(jsonl, "RANGE_BYTES", step)
    rules, inputs = rules_and_inputs(tmp_path / "a.jsonl")
    assert sum(len(one.parts) for one in inputs) == -(-640 // step)
    assert len([one for part in inputs for one in part.documents(rules)]) == 20
