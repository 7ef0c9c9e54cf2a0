"""Every nuisance of a file system gets its own counted reason, and nothing is opened that should not be."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from pathlib import Path

import pytest
from corpus_trees import write_tree

from aixmeg.config import CorpusConfig
from aixmeg.corpus.sources import Repository
from aixmeg.corpus.tally import Tally
from aixmeg.corpus.walk import Candidate, Rules, walk
from aixmeg.errors import UserError


def walked(root: Path, repository: Repository | None = None, **settings) -> tuple[list[Candidate], Tally]:
    rules = Rules.of(CorpusConfig(sources=(root,), **{"min_file_bytes": 4} | settings), root / "out")
    tally = Tally()
    found = walk(repository or Repository("r", root), rules, tally)
    assert tally.found.files == len(found) + sum(count.files for count in tally.dropped.values())
    assert tally.found.bytes == sum(one.bytes for one in found) + sum(count.bytes for count in tally.dropped.values())
    return found, tally


def reasons(tally: Tally) -> dict[str, list[str]]:
    return {reason: [label.removeprefix("r/") for label in labels] for reason, labels in tally.examples.items()}


def test_reasons_by_name_kind_and_size(tmp_path: Path) -> None:
    write_tree(tmp_path, {
        "a.py": "x = 1\n", "b/c.C": "int x;\n", "b/d.h": "int y;\n",
        "README": "text", "x.abap": "REPORT z.\n", "small.py": "x=1", "large.py": "#" * 101, "edge.py": "#" * 100,
    })  # fmt: skip
    found, tally = walked(tmp_path, max_file_bytes=100)
    assert [(one.path, one.language, one.bytes) for one in found] == [
        ("a.py", "python", 6), ("b/c.C", "c++", 7), ("b/d.h", "c++", 7), ("edge.py", "python", 100),
    ]  # fmt: skip
    assert reasons(tally) == {
        "unknown_language": ["README"], "no_grammar": ["x.abap"], "too_small": ["small.py"], "too_large": ["large.py"],
    }  # fmt: skip


def test_links_are_counted_and_never_followed(tmp_path: Path) -> None:
    write_tree(tmp_path / "outside", {"secret.py": "x = 1\n"})
    root = write_tree(tmp_path / "root", {"sub/a.py": "x = 1\n"})
    (root / "sub/loop").symlink_to(root)
    (root / "sub/self").symlink_to("self")
    (root / "dangling.py").symlink_to("nowhere.py")
    (root / "file.py").symlink_to(tmp_path / "outside/secret.py")
    (root / "folder").symlink_to(tmp_path / "outside")
    found, tally = walked(root)
    assert [one.path for one in found] == ["sub/a.py"]
    assert reasons(tally) == {"symlink": ["dangling.py", "file.py", "folder", "sub/loop", "sub/self"]}


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")  # opening it would wait for ever
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.py"))
        found, tally = walked(tmp_path)
    assert not found
    assert reasons(tally) == {"not_a_file": ["pipe.py", "socket.py"]}


def test_bad_names(tmp_path: Path) -> None:
    for name in (b"\xff.py", b"fine\n.py"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x = 1\n")
    folder = tmp_path / os.fsdecode(b"sub\xff")
    folder.mkdir()
    write_tree(folder, {"a.py": "x = 1\n"})
    found, tally = walked(tmp_path)
    assert [one.path for one in found] == ["fine\n.py"]
    assert reasons(tally) == {"bad_name": ["\\xff.py"]}
    assert tally.skipped_folders == {"bad_name": 1}


def test_folders_that_are_not_entered(tmp_path: Path) -> None:
    folders = (".git", ".hidden", "a/__pycache__", "a/node_modules", "a/venv", "out", "a/out", "own")
    for folder in folders:
        write_tree(tmp_path / folder, {"a.py": "x = 1\n"})
    (tmp_path / "a/venv/pyvenv.cfg").touch()
    found, tally = walked(tmp_path, Repository("r", tmp_path, without=(tmp_path / "own",)))
    assert [one.path for one in found] == ["a/out/a.py"]
    assert tally.skipped_folders == {
        "hidden": 2, "generated": 2, "virtual_environment": 1, "own_output": 1, "own_repository": 1,
    }  # fmt: skip


def test_unreadable_folder_and_vanished_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, {"a.py": "x = 1\n", "sub/b.py": "x = 1\n"})
    scandir = os.scandir

    def refuse(folder):  # root may list everything, so the refusal is simulated
        if str(folder).endswith("sub"):
            raise PermissionError
        with scandir(folder) as entries:
            listing = contextlib.nullcontext(list(entries))
        (tmp_path / "a.py").unlink()  # listed, gone before its size is asked for
        return listing

    monkeypatch.setattr(os, "scandir", refuse)
    found, tally = walked(tmp_path)
    assert not found
    assert reasons(tally) == {"unreadable": ["a.py"]}
    assert tally.skipped_folders == {"unreadable": 1}


def test_folders_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    name = "d" * 250
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # 5,000 characters; made step by step, since no path reaches the last
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("a.py", os.O_CREAT, dir_fd=here))
    os.close(here)
    found, tally = walked(tmp_path)
    shutil.rmtree(tmp_path / name)  # here, since pytest's own cleanup works with whole paths
    assert not found
    assert tally.skipped_folders == {"unreadable": 1}


def test_paths_come_in_order_of_the_whole_path(tmp_path: Path) -> None:
    names = ["a/z.py", "a-b/a.py", "a.py", "b.py", "a/b/c.py", "Z.py"]
    write_tree(tmp_path, dict.fromkeys(names, "x = 1\n"))
    found, _ = walked(tmp_path)
    assert [one.path for one in found] == sorted(names)


def test_selected_languages(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a.py": "x = 1\n", "b.cc": "int x;\n", "c.go": "package c\n"})
    found, tally = walked(tmp_path, languages=("cpp", "Python"))
    assert [one.language for one in found] == ["python", "c++"]
    assert reasons(tally) == {"language_not_selected": ["c.go"]}


@pytest.mark.parametrize(
    ("name", "message"),
    [("pyhton", "unknown language 'pyhton'.*python"), ("abap", "'abap', which has no grammar.*python")],
)
def test_wrong_language_is_a_user_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        walked(tmp_path, languages=(name,))
