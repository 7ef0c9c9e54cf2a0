"""A build that is killed anywhere goes on where it was, and gives the same bytes; a full disk leaves nothing half."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from corpus_trees import corpus_digest, python_file, write_tree

from aixmeg.corpus import read_corpus, shards
from aixmeg.corpus.job import STATE_FOLDER, opened_job
from aixmeg.errors import UserError

FILES = {f"r{repository}/m{index}.py": python_file(repository * 100 + index)
         for repository in range(4) for index in range(6)}  # fmt: skip

CHILD = """
import os, signal, sys
from pathlib import Path
from aixmeg.config import CorpusConfig
from aixmeg.corpus import build, executor, job, shards
source, output, point, workers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
shards.SHARD_FILES = 3

def die_after(owner, name, calls, when=lambda *a: True):
    inner, left = getattr(owner, name), [calls]
    def wrapper(*args, **kwargs):
        result = inner(*args, **kwargs)
        left[0] -= bool(when(*args))
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapper)

points = {
    "listing": lambda: die_after(shards.Shards, "next", 3),
    "listed": lambda: die_after(job.Job, "restart", 1),
    "reading": lambda: die_after(executor.Workers, "_next", 2 + workers),
    "planning": lambda: die_after(shards.Shards, "next", 8 + 3),
    "parsing": lambda: die_after(executor.Workers, "_next", 8 + 2 * workers + 3),
    "publishing": lambda: die_after(Path, "replace", 3, lambda path, to: str(to).startswith(f"{output}/shard-")),
    "published": lambda: die_after(Path, "replace", 1, lambda path, to: str(to) == f"{output}/report.json"),
}
if __name__ == "__main__":
    if point in points:
        points[point]()
    build.build_corpus(CorpusConfig(sources=(source,), min_file_bytes=1, workers=workers), output)
"""


def child(tmp_path: Path, point: str, workers: int = 2, **options) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    command = [sys.executable, str(script), str(tmp_path / "src"), str(tmp_path / "corpus"), point, str(workers)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def reference(tmp_path: Path, build, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Digests of an undisturbed build of the same files."""
    monkeypatch.setattr(shards, "SHARD_FILES", 3)
    build(write_tree(tmp_path / "src", FILES), output=tmp_path / "reference")
    return corpus_digest(tmp_path / "reference")


@pytest.mark.parametrize("point", ["listing", "listed", "reading", "planning", "parsing", "publishing", "published"])
def test_killed_build_goes_on(tmp_path: Path, build, reference: dict[str, str], point: str) -> None:
    killed = child(tmp_path, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    output = tmp_path / "corpus"
    state = output / STATE_FOLDER
    assert state.is_dir()
    if point != "published":
        with pytest.raises(UserError, match="no finished corpus"):
            next(read_corpus(output))
    finished = {path.name: path.stat().st_ino for path in state.glob("shards/*.jsonl")
                if (state / "shards" / f"{path.stem[-5:]}.json").exists()}  # fmt: skip
    assert 0 < len(finished) < len(reference) or point != "parsing"
    build(tmp_path / "src", output=output)
    assert corpus_digest(output) == reference
    assert len(list(read_corpus(output))) == len(FILES)
    assert not state.exists()
    for name, inode in finished.items():  # moved, not built again
        assert (output / name).stat().st_ino == inode


def test_changed_settings_or_sources_start_over(tmp_path: Path, build, reference: dict[str, str]) -> None:
    assert child(tmp_path, "parsing").returncode == -signal.SIGKILL
    (tmp_path / "src/r0/m0.py").write_text(python_file(7777))
    (tmp_path / "src/r3/m5.py").unlink()
    build(tmp_path / "src", output=tmp_path / "corpus")
    texts = [file.text for file in read_corpus(tmp_path / "corpus")]
    assert len(texts) == len(FILES) - 1
    assert texts[0] == python_file(7777)

    assert child(tmp_path, "parsing").returncode == -signal.SIGKILL
    report = build(tmp_path / "src", output=tmp_path / "corpus", max_repository_bytes=len(python_file(100)))
    assert report["kept"]["files"] == len({path.split("/")[0] for path in FILES})


def test_two_builds_at_once_are_refused(tmp_path: Path, build) -> None:
    source = write_tree(tmp_path / "src", {"r/a.py": python_file(0)})
    with opened_job(tmp_path / "corpus"), pytest.raises(UserError, match="another build is writing"):
        build(source)
    build(source)


def test_refused_write_in_a_worker_is_a_user_error(tmp_path: Path, build) -> None:
    """The kernel refuses to write past 6,000 bytes of a file: the lists are shorter, the shard is not."""
    source = write_tree(tmp_path / "src", {f"r/{index}.py": python_file(index, 100) for index in range(3)})
    limited = child(tmp_path, "", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)))
    assert limited.returncode == 1
    assert "UserError: cannot write" in limited.stderr
    assert "shard-00000.jsonl" in limited.stderr
    output = tmp_path / "corpus"
    assert [path.name for path in output.iterdir()] == [STATE_FOLDER]
    assert list((output / STATE_FOLDER / "shards").iterdir()) == []
    build(source, output=output)
    assert len(list(read_corpus(output))) == 3


def test_disk_that_is_full_at_any_write_of_this_process(
    tmp_path: Path, build, reference: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls, full_from = os.fsync, 0, 10**9

    def sometimes_full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= full_from:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sometimes_full)
    build(tmp_path / "src", output=tmp_path / "counted")
    total = calls
    assert total > 30
    for number in (1, total // 3, total // 2, total - 3, total - 1):  # the last two while publishing
        calls, full_from = 0, number
        output = tmp_path / f"full{number}"
        with pytest.raises(UserError, match="cannot write .*No space left on device"):
            build(tmp_path / "src", output=output)
        assert not (output / "report.json").exists()
        full_from = 10**9
        build(tmp_path / "src", output=output)
        assert corpus_digest(output) == reference


def test_output_that_is_a_file_is_a_user_error(tmp_path: Path, build) -> None:
    source = write_tree(tmp_path / "src", {"r/a.py": python_file(0)})
    (tmp_path / "corpus").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        build(source)
    assert (tmp_path / "corpus").read_text() == "mine"
