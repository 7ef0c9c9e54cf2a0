"""Writing is all or nothing."""

import errno
import os

import pytest

from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, read_jsonl, replace_folder, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("half")
        raise RuntimeError
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["value.json"]


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device.*free space"):
        write_json(tmp_path / "new.json", [1])
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "file" / "new.json", [1])


def test_newlines_are_written_as_they_are(tmp_path):
    with atomic_write(tmp_path / "x") as file:
        file.write("a\r\nb\n\u2028")
    assert (tmp_path / "x").read_bytes() == "a\r\nb\n\u2028".encode()


def test_read_jsonl_splits_at_line_feeds_only(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"t": "a\u2028b"}\n{"t": 2}\n'.encode())
    assert list(read_jsonl(path)) == [{"t": "a\u2028b"}, {"t": 2}]
    path.write_text('{"t": 1}\n{"t"')
    with pytest.raises(UserError, match="line 2"):
        list(read_jsonl(path))


def test_replace_folder_replaces(tmp_path):
    for name, text in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(text)
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "f").read_text() == "2"
    assert os.listdir(tmp_path) == ["old"]
