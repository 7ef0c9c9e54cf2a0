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
    ("name", "message"), [("nowhere", "nowhere does not exist"), ("file.py", "file.py is of no known kind.*parquet")]
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


def bare(folder: Path) -> Path:
    """What a bare git repository looks like."""
    (folder / "objects").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def test_bare_repositories_and_owners(tmp_path: Path) -> None:
    source = tmp_path / "hub"
    bare(source / "one.git")
    bare(source / "owner/two.git")
    write_tree(source / "owner/three", {".git/HEAD": "", "x.py": ""})
    write_tree(source / "owner/plain", {"x.py": ""})
    write_tree(source / "project", {".git/HEAD": "", "deps/four/.git/HEAD": "", "x.py": ""})
    assert repositories((source,)) == [
        Repository("one", source / "one.git", kind="git"),
        Repository("owner", source / "owner", without=(source / "owner/three", source / "owner/two.git")),
        Repository("owner/three", source / "owner/three"),
        Repository("owner/two", source / "owner/two.git", kind="git"),
        Repository("project", source / "project"),
    ]
    assert repositories((source / "one.git",)) == [Repository("one", source / "one.git", kind="git")]


def test_an_owner_of_mirrors_alone_is_no_repository(tmp_path: Path) -> None:
    bare(tmp_path / "hub/owner/a.git")
    assert [one.name for one in repositories((tmp_path / "hub",))] == ["owner/a"]


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("a-1.0.tar", "tar", "a-1.0"), ("a-1.0.tar.gz", "tar", "a-1.0"), ("a.TGZ", "tar", "a"), ("a.tar.zst", "tar",
        "a"),
        ("a.tar.xz", "tar", "a"), ("a.crate", "tar", "a"), ("a-1-py3-none-any.whl", "zip", "a-1-py3-none-any"),
        ("a.jar", "zip", "a"), ("b.zip", "zip", "b"), ("d.jsonl", "jsonl", "d"), ("d.jsonl.gz", "jsonl", "d"),
        ("d.ndjson.zst", "jsonl", "d"), ("train-00000-of-00001.parquet", "parquet", "train-00000-of-00001"),
    ],
)  # fmt: skip
def test_files_are_of_a_kind_by_their_ending(tmp_path: Path, name: str, kind: str, stem: str) -> None:
    (tmp_path / name).touch()
    assert repositories((tmp_path / name,)) == [Repository(stem, tmp_path / name, kind=kind)]


@pytest.mark.parametrize("name", ["a.gz", "a.parquet.gz", "a.json", "a.zip.gz"])
def test_files_of_no_kind(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UserError, match="no known kind"):
        repositories((tmp_path / name,))


def test_a_folder_of_data_files_alone(tmp_path: Path) -> None:
    data = write_tree(tmp_path / "data", {
        "c/a.parquet": "", "python/a.parquet": "", "README.md": "", ".gitattributes": "", "b.jsonl.gz": "",
    })  # fmt: skip
    assert repositories((data,)) == [
        Repository("b", data / "b.jsonl.gz", kind="jsonl"),
        Repository("c/a", data / "c/a.parquet", kind="parquet"),
        Repository("python/a", data / "python/a.parquet", kind="parquet"),
    ]
    write_tree(data, {"python/setup.py": ""})  # a repository that holds data
    assert [one.kind for one in repositories((data,))] == ["folder"] * 3
