from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest
from corpus_trees import write_tree

from aixmeg.corpus.sources import Repository, repositories
from aixmeg.errors import UserError


def test_sub_folders_are_repositories_and_loose_files_one_more(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "mine", {"b/x.py": "", "a/x.py": "", "loose.py": "", ".cache/x.py": ""})
    (source / "link").symlink_to("a")
    assert repositories((source,)) == [
        Repository("a", source / "a"),
        Repository("b", source / "b"),
        Repository("mine", source, (".cache", "link", "loose.py")),
    ]


def test_a_git_folder_is_one_repository(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", {".git/HEAD": "", "a/x.py": ""})
    worktree = write_tree(tmp_path / "worktree", {".git": "gitdir: elsewhere", "a/x.py": ""})
    assert repositories((tree, worktree)) == [Repository("tree", tree), Repository("worktree", worktree)]


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    for source in ("one", "two", "deep/two"):
        write_tree(tmp_path / source, {"a/x.py": "", f"{source.replace('/', '-')}/x.py": ""})
    sources = tuple(tmp_path / name for name in ("one", "two", "deep/two", "one"))
    names = [one.name for one in repositories(sources)]
    assert len(set(names)) == len(names) == 6  # the source given twice is read once
    assert names == sorted(names)
    assert {"one/a", "one", "two", "deep-two", f"{tmp_path}/two/a/a", f"{tmp_path}/deep/two/a/a"} == set(names)


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "nowhere does not exist"), ("file.py", "file.py is not a folder")]
)
def test_wrong_source_is_a_user_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file.py").touch()
    with pytest.raises(UserError, match=message):
        repositories((tmp_path / name,))


def test_unreadable_source_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="Permission denied; check"):
        repositories((tmp_path,))


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdlib = write_tree(tmp_path / "python3", {
        "abc.py": "", "json/x.py": "", "site-packages/no/x.py": "", "__pycache__/x.py": "",
    })  # fmt: skip
    installed = write_tree(tmp_path / "site", {
        "six.py": "", "__editable___mine_finder.py": "",
        "rich/x.py": "", "rich-1.dist-info/x.py": "", "aixmeg/x.py": "", "rich.libs/x.so": "",
        "torch/include/a/include/x.h": "", "numpy/core/include/x.h": "",
    })  # fmt: skip
    paths = {"stdlib": str(stdlib), "purelib": str(installed), "platlib": str(installed)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    assert repositories(()) == [
        Repository("numpy", installed, ("numpy",), (installed / "numpy/core/include",)),
        Repository("numpy/core/include", installed / "numpy/core/include"),
        Repository("python-stdlib", stdlib, ("abc.py",)),
        Repository("python-stdlib/json", stdlib, ("json",)),
        Repository("rich", installed, ("rich",)),
        Repository("site-packages", installed, ("six.py",)),
        Repository("torch", installed, ("torch",), (installed / "torch/include",)),
        Repository("torch/include", installed / "torch/include"),
    ]


def test_the_real_machine_has_its_standard_library() -> None:
    names = [one.name for one in repositories(())]
    assert {"python-stdlib", "python-stdlib/json", "rich", "torch/include"} <= set(names)
    assert "aixmeg" not in names
    assert len(names) == len(set(names)), sys.path
