"""Cursors in files: positions as an editor counts them, exact text, clear refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.errors import UserError
from aixmeg.generate.source import from_cursor, from_files, path_in_repository

TEXT = "def f(x):\n\treturn x\n\nprint('é', f(1))\n"


def make(folder: Path, content: str | bytes = TEXT, name: str = "a.py") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("cursor", "prefix"),
    [
        ("1:1", ""),
        ("1:10", "def f(x):"),
        ("2:1", "def f(x):\n"),
        ("2:2", "def f(x):\n\t"),
        ("3:1", "def f(x):\n\treturn x\n"),
        ("4:9", "def f(x):\n\treturn x\n\nprint('é"),
        ("5:1", TEXT),
        (" 5:1 ", TEXT),
    ],
)
def test_positions_count_from_one(cursor: str, prefix: str, tmp_path: Path) -> None:
    around = from_cursor(make(tmp_path), cursor)
    assert around.prefix == prefix
    assert around.prefix + around.suffix == TEXT


@given(text=st.text(st.sampled_from("ab\r\n\t\f\u2028é\u2581<s>"), max_size=40), data=st.data())
def test_every_position_of_any_text(text: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Line and column are computed here from an offset; only a newline ends a line, and no `\\r` before it is lost."""
    positions = [i for i in range(len(text) + 1) if not (text[i - 1 : i] == "\r" and text[i : i + 1] in ("\n", ""))]
    offset = data.draw(st.sampled_from(positions))
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    file = make(tmp_path_factory.mktemp("source"), text)
    around = from_cursor(file, f"{line}:{column}")
    assert (around.prefix, around.suffix) == (text[:offset], text[offset:])


@pytest.mark.parametrize(
    ("cursor", "message"),
    [
        ("6:1", "has 5 lines; choose a line from 1 to 5"),
        ("0:1", "has 5 lines"),
        ("1:11", "line 1 of .* has 9 characters; choose a column from 1 to 10"),
        ("1:0", "choose a column"),
        ("12", "is not LINE:COLUMN"),
        ("-1:2", "is not LINE:COLUMN"),
        ("", "is not LINE:COLUMN"),
    ],
)
def test_a_cursor_outside_the_file(cursor: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        from_cursor(make(tmp_path), cursor)


def test_an_empty_file_has_one_position(tmp_path: Path) -> None:
    assert from_cursor(make(tmp_path, ""), "1:1").prefix == ""
    with pytest.raises(UserError, match="has 1 line;"):
        from_cursor(make(tmp_path, ""), "2:1")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\0b", "is a binary file: byte 1"), (b"ab\xff", "is not UTF-8: byte 2 is 0xff"), (b"\xed\xa0\x80", "UTF-8")],
)
def test_files_that_are_no_text(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        from_cursor(make(tmp_path, content), "1:1")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(UserError, match=re.escape(str(path))):
            from_cursor(path, "1:1")


def test_two_files(tmp_path: Path) -> None:
    prefix, suffix = make(tmp_path, "int a =", "p.c"), make(tmp_path, ";\r\n", "s.c")
    around = from_files(prefix, suffix)
    assert (around.prefix, around.suffix) == ("int a =", ";\r\n")
    assert from_files(prefix, None).suffix == ""


def test_the_header_is_the_one_of_training(tmp_path: Path) -> None:
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "pkg").mkdir()
    file = make(tmp_path / "repository" / "pkg")
    assert path_in_repository(file) == "pkg/a.py"
    around = from_cursor(file, "1:1")
    assert around.header == "# the file path is: pkg/a.py\n# the code file is written by Python\n"
    assert from_cursor(make(tmp_path, name="a.unknown"), "1:1").header == ""
    by_content = {"class A {\n public:\n  int b;\n};\n": "C++", "int f(void);\n": "C"}
    for text, language in by_content.items():  # as the corpus tells them apart
        assert f"written by {language}\n" in from_cursor(make(tmp_path, text, "a.h"), "1:1").header


def test_paths_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    inside, outside = make(tmp_path / "here" / "sub"), make(tmp_path, name="b.py")
    monkeypatch.chdir(tmp_path / "here")
    assert path_in_repository(inside) == "sub/a.py"
    assert path_in_repository(outside) == "b.py"
