"""Every nuisance of a file system gets its own counted reason, and nothing is opened that should not be."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections import Counter
from pathlib import Path

import pytest
from corpus_trees import write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from source_documents import documents, dropped, kept, rules_and_inputs

from aixmeg.config.corpus import CorpusConfig
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources import Rules, walk
from aixmeg.corpus.sources.folders import Repository
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.walk import read_file
from aixmeg.errors import UserError


def repository(tmp_path: Path) -> Path:
    """A folder that is one repository."""
    (tmp_path / "r/.git").mkdir(parents=True)
    return tmp_path / "r"


def paths(found) -> list[str]:
    return [one.path for one in found if one.reason is None]


def test_reasons_by_name_kind_and_size(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {
        "a.py": "x = 1\n", "b/c.C": "int x;\n", "b/d.h": "int y;\n",
        "README": "text", "x.abap": "REPORT z.\n", "small.py": "x=1", "large.py": "#" * 101, "edge.py": "#" * 100,
    })  # fmt: skip
    found, _ = documents(root, max_file_bytes=100, min_file_bytes=4)
    assert [(one.path, one.language, one.size) for one in found if one.reason is None] == [
        ("a.py", "python", 6), ("b/c.C", "c++", 7), ("b/d.h", "c++", 7), ("edge.py", "python", 100),
    ]  # fmt: skip
    assert dropped(found) == {
        "unknown_language": ["README"], "no_grammar": ["x.abap"], "too_small": ["small.py"], "too_large": ["large.py"],
    }  # fmt: skip
    assert sum(one.size for one in found) == sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def test_links_are_counted_and_never_followed(tmp_path: Path) -> None:
    write_tree(tmp_path / "outside", {"secret.py": "x = 1\n"})
    root = write_tree(repository(tmp_path), {"sub/a.py": "x = 1\n"})
    (root / "sub/loop").symlink_to(root)
    (root / "sub/self").symlink_to("self")
    (root / "dangling.py").symlink_to("nowhere.py")
    (root / "file.py").symlink_to(tmp_path / "outside/secret.py")
    (root / "folder").symlink_to(tmp_path / "outside")
    found, _ = documents(root)
    assert paths(found) == ["sub/a.py"]
    assert dropped(found) == {"symlink": ["dangling.py", "file.py", "folder", "sub/loop", "sub/self"]}


def test_a_file_that_becomes_a_link_or_grows_is_not_read(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {"a.py": "x = 1\n", "b.py": "y = 1\n", "c.py": "z = 1\n"})
    rules, (one,) = rules_and_inputs(root)
    secret = write_tree(tmp_path, {"secret.py": "s = 1\n"}) / "secret.py"
    documents_ = one.documents(rules)
    assert next(documents_).reason is None
    with pytest.MonkeyPatch.context() as patch:  # between the question for its size and the opening
        opened = os.open

        def swapped(path, flags, *rest):
            if str(path).endswith("b.py"):
                (root / "b.py").unlink()
                (root / "b.py").symlink_to(secret)
            if str(path).endswith("c.py"):
                (root / "c.py").write_text("z = 1000\n")
            return opened(path, flags, *rest)

        patch.setattr(os, "open", swapped)
        assert [(one.path, one.reason) for one in documents_] == [("b.py", "unreadable"), ("c.py", "changed")]


def test_files_unreadable_or_changed_after_the_walk(tmp_path: Path) -> None:
    write_tree(tmp_path, {"grown.py": "x = 1\n", "shrunk.py": "x\n"})
    (tmp_path / "link.py").symlink_to("grown.py")
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    for path, size, reason in [("grown.py", 3, "changed"), ("shrunk.py", 5, "changed"), ("gone.py", 5, "unreadable"),
                               ("link.py", 6, "unreadable"), ("pipe.py", 0, "changed"), ("folder.py", 5, "changed"),
                               ("a/" * 3000 + "b.py", 5, "unreadable")]:  # fmt: skip
        with pytest.raises(Dropped, match=reason):
            read_file(str(tmp_path / path), size)
    assert read_file(str(tmp_path / "grown.py"), 6) == b"x = 1\n"


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path)
    os.mkfifo(root / "pipe.py")  # opening it would wait for ever
    monkeypatch.chdir(root)  # a socket's name may have 107 characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.py")
        found, _ = documents(root)
    assert dropped(found) == {"not_a_file": ["pipe.py", "socket.py"]}


def test_bad_names(tmp_path: Path) -> None:
    root = repository(tmp_path)
    for name in (b"\xff.py", b"fine\n.py", "é\u2028.py".encode()):
        (root / os.fsdecode(name)).write_bytes(b"x = 1\n")
    folder = root / os.fsdecode(b"sub\xff")
    folder.mkdir()
    write_tree(folder, {"a.py": "x = 1\n"})
    found, skipped = documents(root)
    assert paths(found) == ["fine\n.py", "é\u2028.py"]
    assert dropped(found) == {"bad_name": ["\\xff.py"]}
    assert skipped == {"bad_name": 1, "hidden": 1}


def test_folders_that_are_not_entered(tmp_path: Path) -> None:
    folders = (".git", ".hidden", "a/__pycache__", "a/node_modules", "a/venv", "out", "a/out")
    root = tmp_path / "r"
    for folder in folders:
        write_tree(root / folder, {"a.py": "x = 1\n"})
    (root / "a/venv/pyvenv.cfg").touch()
    found, skipped = documents(root, output=root / "out")
    assert paths(found) == ["a/out/a.py"]
    assert skipped == {"hidden": 2, "generated": 2, "virtual_environment": 1, "own_output": 1}


def test_unreadable_folder_and_vanished_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_tree(repository(tmp_path), {"a.py": "x = 1\n", "sub/b.py": "x = 1\n"})
    rules, (one,) = rules_and_inputs(root)
    scandir = os.scandir

    def refuse(folder):  # root may list everything, so the refusal is simulated
        if str(folder).endswith("sub"):
            raise PermissionError
        with scandir(folder) as entries:
            listing = contextlib.nullcontext(list(entries))
        (root / "a.py").unlink(missing_ok=True)  # listed, gone before its size is asked for
        return listing

    monkeypatch.setattr(os, "scandir", refuse)
    skipped: Counter[str] = Counter()
    assert dropped(list(one.documents(rules, skipped=skipped))) == {"unreadable": ["a.py"]}
    assert skipped == {"unreadable": 1, "hidden": 1}


def test_folders_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    root, name = repository(tmp_path), "d" * 250
    here = os.open(root, os.O_RDONLY)
    for _ in range(20):  # 5,000 characters; made step by step, since no path reaches the last
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("a.py", os.O_CREAT, dir_fd=here))
    os.close(here)
    found, skipped = documents(root)
    shutil.rmtree(root / name)  # here, since pytest's own cleanup works with whole paths
    assert not found
    assert skipped == {"unreadable": 1, "hidden": 1}


def test_selected_languages(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {"a.py": "x = 1\n", "b.cc": "int x;\n", "c.go": "package c\n"})
    found, _ = documents(root, languages=("cpp", "Python"))
    assert [one.language for one in found if one.reason is None] == ["python", "c++"]
    assert dropped(found) == {"language_not_selected": ["c.go"]}


@pytest.mark.parametrize(
    ("name", "message"),
    [("pyhton", "unknown language 'pyhton'.*python"), ("abap", "'abap', which has no grammar.*python")],
)
def test_wrong_language_is_a_user_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Rules.of(CorpusConfig(languages=(name,)), tmp_path)


def test_content_decides_where_the_name_does_not(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {
        "run": "#!/usr/bin/env python3\nprint(1)\n", "README": "#heading\n", "a.m": "@interface A\n@end\n",
        "b.m": "function y = f(x)\n", "c.h": "typedef struct a { int x; } a_t;\n", "d.h": "namespace a {\n}\n",
        "e.v": "Theorem a : b.\nProof.\n", "bin": b"\x7fELF\0\0",
    })  # fmt: skip
    found, _ = documents(root)
    assert {one.path: one.language for one in found if one.reason is None} == {
        "run": "python", "a.m": "objective-c", "b.m": "matlab", "c.h": "c", "d.h": "c++",
    }  # fmt: skip
    assert dropped(found) == {"unknown_language": ["README", "bin", "e.v"]}
    found, _ = documents(root, language_by_content=False)
    assert {one.path: one.language for one in found if one.reason is None} == {"c.h": "c++", "d.h": "c++"}


def wants_licences(path: str) -> bool:
    return path.endswith("LICENSE")


def test_files_that_are_also_read(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {"LICENSE": "MIT", "a/LICENSE": "x" * (2 << 20), "b.py": "x = 1\n"})
    found, _ = documents(root, also_read=wants_licences)
    assert [(one.path, one.content, one.reason) for one in found] == [
        ("LICENSE", b"MIT", "unknown_language"), ("a/LICENSE", None, "too_large"), ("b.py", b"x = 1\n", None),
    ]  # fmt: skip


def test_a_pointer_of_git_lfs_is_no_file(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {"a.py": "version https://git-lfs" + ".github.com/spec/v1\noid x\n"})
    assert dropped(documents(root)[0]) == {"lfs_pointer": ["a.py"]}


NAMES = st.text(st.sampled_from("ab-./0_é"), min_size=1, max_size=9).map(
    lambda name: "/".join(part.strip(".") or "x" for part in name.split("/"))
)


@settings(max_examples=40, deadline=None)
@given(names=st.sets(NAMES, min_size=1, max_size=25), files=st.integers(1, 7))
def test_ranges_together_hold_every_file_once_in_the_order_of_whole_paths(tmp_path_factory, names, files) -> None:
    root = tmp_path_factory.mktemp("ranges")
    (root / ".git").mkdir()
    written = set()
    for name in sorted(names):
        with contextlib.suppress(OSError):  # a folder of that name
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / f"{name}.py").write_text("x = 1\n")
            written.add(f"{name}.py")
    (root / "a/.hidden").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "RANGE_FILES", files)
        rules, _ = rules_and_inputs(root)
        parts = list(walk.folder_parts(Repository("r", root), rules))
    assert all(part.files <= files for part in parts)
    assert len(parts) == max(1, -(-len(written) // files))
    found, skipped = [], 0
    for part in parts:
        reading = Reading(rules)
        found += [one.path for one in part.documents(reading)]
        skipped += reading.skipped["hidden"]
    assert found == sorted(written)
    assert skipped == 2


def test_the_description_changes_with_the_files(tmp_path: Path) -> None:
    root = write_tree(repository(tmp_path), {"a.py": "x = 1\n"})
    before = [one.to_json() for one in rules_and_inputs(root)[1]]
    assert [one.to_json() for one in rules_and_inputs(root)[1]] == before
    os.utime(root / "a.py", ns=(1, 1))
    assert [one.to_json() for one in rules_and_inputs(root)[1]] != before


def test_small_repositories_share_an_input(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "all", {f"r{number}/a.py": f"x = {number}\n" for number in range(50)})
    rules, inputs = rules_and_inputs(source)
    assert len(inputs) == 1
    assert inputs[0].bytes == sum(len(f"x = {number}\n") for number in range(50))
    assert len(kept(list(inputs[0].documents(rules)))) == 50
