"""Bare git repositories are read without a checkout, and nothing that they ask for is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from corpus_trees import write_tree
from source_documents import documents, dropped, kept, rules_and_inputs

from aixmeg.corpus.sources import git, limits
from aixmeg.corpus.sources.git_commands import commit_count

AS = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
      "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}  # fmt: skip


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", *arguments], cwd=folder, env=os.environ | AS, input=stdin, check=True,
                          capture_output=True).stdout  # fmt: skip


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main", ".")
    return folder


def mirror(work: Path, *, message: str = "x") -> Path:
    """Commit everything, and clone it bare."""
    run(work, "add", "-A", "-f", ".")
    run(work, "commit", "-q", "--allow-empty", "-m", message)
    target = work.parent / "proj.git"
    run(work.parent, "clone", "-q", "--bare", str(work), str(target))
    return target


def test_files_of_a_commit(work: Path) -> None:
    write_tree(work, {
        "a.py": "x = 1\n", "sub/b.c": b"int \xff;\r\n", "run": "#!/bin/sh\necho\n", "README": "text", "empty.py": "",
        "big.py": "#" * 2000, "node_modules/x.js": "x", "new\nline.py": "x = 2\n", "é.py": "x = 3\n",
        "lfs.py": "version https://git-lfs" + ".github.com/spec/v1\noid x\n",
    })  # fmt: skip
    (work / os.fsdecode(b"bad\xff.py")).write_bytes(b"x = 1\n")
    (work / "link.py").symlink_to("a.py")
    run(work, "add", "-A", "-f")
    run(work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    run(work, "commit", "-q", "-m", "x")
    run(work.parent, "clone", "-q", "--bare", str(work), str(work.parent / "proj.git"))
    found, _ = documents(work.parent / "proj.git", max_file_bytes=1000)
    assert kept(found) == {"proj/a.py": b"x = 1\n", "proj/sub/b.c": b"int \xff;\r\n", "proj/run": b"#!/bin/sh\necho\n",
                           "proj/new\nline.py": b"x = 2\n", "proj/é.py": b"x = 3\n"}  # fmt: skip
    assert dropped(found) == {
        "unknown_language": ["README"], "too_small": ["empty.py"], "too_large": ["big.py"],
        "skipped_folder": ["node_modules/x.js"], "lfs_pointer": ["lfs.py"], "bad_name": ["bad\\xff.py"],
        "symlink": ["link.py"], "submodule": ["module"],
    }  # fmt: skip


def test_refs_and_commit_counts(work: Path) -> None:
    write_tree(work, {"a.py": "x = 1\n"})
    run(work, "add", "-A")
    run(work, "commit", "-q", "-m", "one")
    run(work, "branch", "-q", "feature/+weird@name")
    write_tree(work, {"b.py": "x = 2\n"})
    path = mirror(work)
    assert list(kept(documents(path)[0])) == ["proj/a.py", "proj/b.py"]
    assert list(kept(documents(path, git_ref="feature/+weird@name")[0])) == ["proj/a.py"]
    assert rules_and_inputs(path)[1][0].signals() == {"proj": {"commits": 2}}
    assert dropped(documents(path, git_ref="no/such")[0]) == {"no_commit": ["no/such"]}
    run(path, "symbolic-ref", "HEAD", "refs/heads/feature/+weird@name")
    assert list(kept(documents(path)[0])) == ["proj/a.py"]
    assert rules_and_inputs(path)[1][0].signals() == {"proj": {"commits": 1}}


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "--bare", "proj.git")
    assert dropped(documents(tmp_path / "proj.git")[0]) == {"no_commit": ["HEAD"]}


def test_a_shallow_copy_has_no_commit_count(work: Path) -> None:
    for number in range(3):
        run(work, "commit", "-q", "--allow-empty", "-m", str(number))
    path = mirror(work)
    assert commit_count(path, "HEAD") == 4
    run(work.parent, "clone", "-q", "--bare", "--depth", "2", f"file://{path}", "shallow.git")
    assert commit_count(work.parent / "shallow.git", "HEAD") is None


def test_a_work_tree_is_read_as_a_folder_and_counts_its_commits(work: Path) -> None:
    write_tree(work, {"a.py": "x = 1\n"})
    mirror(work)
    write_tree(work, {"untracked.py": "x = 2\n"})
    assert list(kept(documents(work)[0])) == ["work/a.py", "work/untracked.py"]
    assert rules_and_inputs(work)[1][0].signals() == {"work": {"commits": 1}}


def test_a_folder_of_mirrors_in_ranges(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(work, {f"{number:03d}.py": f"x = {number}\n" for number in range(700)})
    mirror(work)
    (work.parent / "hub/owner").mkdir(parents=True)
    (work.parent / "proj.git").rename(work.parent / "hub/owner/proj.git")
    whole = kept(documents(work.parent / "hub")[0])
    assert whole == {f"owner/proj/{number:03d}.py": f"x = {number}\n".encode() for number in range(700)}
    for module in (git, limits):
        monkeypatch.setattr(module, "RANGE_FILES", 300)
    assert len([part for one in rules_and_inputs(work.parent / "hub")[1] for part in one.parts]) == 3
    assert kept(documents(work.parent / "hub")[0]) == whole


def test_nothing_of_the_repository_is_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(work, {"a.py": "x = 1\n", ".gitattributes": "*.py filter=evil diff=evil\n"})
    path = mirror(work)
    trap, marker = path / "trap.sh", path.parent / "ran"
    trap.write_text(f"#!/bin/sh\necho $0 $@ >> {marker}\ncat\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "diff.external",
                "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv",
                "core.alternateRefsCommand", "gpg.program", "credential.helper", "uploadpack.packObjectsHook",
                "alias.ls-tree", "alias.cat-file", "log.showSignature"):  # fmt: skip
        run(path, "config", key, "true" if key == "log.showSignature" else str(trap))
    run(path, "config", "core.hooksPath", str(path))
    for hook in ("post-checkout", "reference-transaction", "pre-auto-gc"):
        (path / hook).write_text(trap.read_text())
        (path / hook).chmod(0o755)
    monkeypatch.setenv("GIT_DIR", "/nonexistent")  # a user's own variables do not redirect it either
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(trap))
    assert list(kept(documents(path)[0])) == ["proj/a.py"]
    assert rules_and_inputs(path)[1][0].signals() == {"proj": {"commits": 1}}
    assert not marker.exists()


def test_a_missing_object_is_one_drop_and_fetches_nothing(work: Path) -> None:
    write_tree(work, {"a.py": "x = 1\n", "b.py": "x = 2\n", "c.py": "x = 3\n"})
    path = mirror(work)
    name = run(path, "rev-parse", "HEAD:b.py").decode().strip()
    (path / "objects" / name[:2] / name[2:]).unlink()
    run(path, "config", "remote.origin.promisor", "true")
    run(path, "config", "remote.origin.url", "ext::sh -c 'touch %s'" % (path.parent / "fetched"))
    rules, inputs = rules_and_inputs(path)
    found = [one for part in inputs for one in part.documents(rules)]
    assert [(one.path, one.reason) for one in found] == [("a.py", None), ("b.py", "unreadable"), ("c.py", None)]
    assert not (path.parent / "fetched").exists()


def test_foreign_owners_are_read(work: Path) -> None:
    write_tree(work, {"a.py": "x = 1\n"})
    path = mirror(work)
    if os.getuid():
        pytest.skip("only root can give files away")
    os.chown(path, 12345, 12345)
    assert list(kept(documents(path)[0])) == ["proj/a.py"]
