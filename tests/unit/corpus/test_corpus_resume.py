"""A build that is killed anywhere goes on where it was, and gives the same bytes; a full disk leaves nothing half."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from corpus_trees import corpus_digest, python_file, write_tree

from aixmeg.corpus import decide, read_corpus
from aixmeg.corpus.executor import Workers
from aixmeg.corpus.job import STATE_FOLDER, Job, opened_job
from aixmeg.corpus.phases import PHASES, run_shard, undone
from aixmeg.corpus.sources import inputs, walk
from aixmeg.corpus.tally import Tally
from aixmeg.errors import UserError
from aixmeg.files import read_json

FILES = {f"r{repository}/m{index}.py": python_file(repository * 100 + index)
         for repository in range(4) for index in range(6)}  # fmt: skip

CHILD = """
import os, signal, sys
from pathlib import Path
from corpus_trees import plain
from aixmeg.config import CorpusConfig
from aixmeg.corpus import build, decide, executor, job
from aixmeg.corpus.sources import inputs, walk
source, output, point, workers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
inputs.RANGE_FILES = walk.RANGE_FILES = 3  # 8 inputs
decide.SHARD_BYTES = 700

def die_after(owner, name, calls, when=lambda *a: True):
    inner, left = getattr(owner, name), [calls]
    def wrapper(*args, **kwargs):
        result = inner(*args, **kwargs)
        left[0] -= bool(when(*args))
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapper)

def after_shards(done, phase):  # the parent dies when it hands out the next shard after `done` of the phase
    def when(workers, run, worker):
        return run.step.__name__ == f"{phase}_shard" and len(list(run.job.glob(f"{phase}/?????.json"))) >= done
    die_after(executor.Workers, "_next", 1, when)

points = {
    "listing": lambda: die_after(inputs.Input, "to_json", 3),
    "listed": lambda: die_after(job.Job, "_restart", 1),
    "scanning": lambda: after_shards(2, "scan"),
    "deciding": lambda: die_after(decide, "drop_exact", 1),
    "cleaning": lambda: after_shards(3, "clean"),
    "ordering": lambda: after_shards(2, "order"),
    "publishing": lambda: die_after(Path, "replace", 5, lambda path, to: str(to).startswith(f"{output}/shard-")),
    "published": lambda: die_after(Path, "replace", 1, lambda path, to: str(to) == f"{output}/report.json"),
}
if __name__ == "__main__":
    if point in points:
        points[point]()
    settings = plain() | {"workers": workers}
    build.build_corpus(CorpusConfig(sources=(source,), **settings), output)
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
    monkeypatch.setattr(inputs, "RANGE_FILES", 3)
    monkeypatch.setattr(walk, "RANGE_FILES", 3)
    monkeypatch.setattr(decide, "SHARD_BYTES", 700)
    build(write_tree(tmp_path / "src", FILES), output=tmp_path / "reference")
    return corpus_digest(tmp_path / "reference")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Shards that a build asks its workers for, by phase."""
    found: dict[str, list[int]] = {}
    run = Workers.run

    def noted(self, step, job, shards, progress):
        found[step.__name__.removesuffix("_shard")] = list(shards)
        run(self, step, job, shards, progress)

    monkeypatch.setattr(Workers, "run", noted)
    return found


POINTS = ["listing", "listed", "scanning", "deciding", "cleaning", "ordering", "publishing", "published"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_build_goes_on(tmp_path: Path, build, reference: dict[str, str], point: str, asked) -> None:
    killed = child(tmp_path, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    output = tmp_path / "corpus"
    state = output / STATE_FOLDER
    assert state.is_dir()
    if point != "published":
        with pytest.raises(UserError, match="no finished corpus"):
            next(read_corpus(output))
    phases = ("scan", "clean", "order")
    done = {phase: sorted(int(path.stem) for path in state.glob(f"{phase}/?????.json")) for phase in phases}
    shards = {"scan": 8, "clean": 8, "order": len(reference) // 3}
    unfinished = {"scanning": "scan", "cleaning": "clean", "ordering": "order"}.get(point)
    assert unfinished is None or 0 < len(done[unfinished]) < shards[unfinished]
    finished = {path.name: path.stat().st_ino for number in done["order"]
                for path in state.glob(f"order/shard-{number:05d}.*")}  # fmt: skip
    build(tmp_path / "src", output=output)
    assert corpus_digest(output) == reference
    assert len(list(read_corpus(output))) == len(FILES)
    assert not state.exists()
    for phase in phases:  # finished shards are not done again
        assert sorted([*asked[phase], *done[phase]]) == list(range(shards[phase])), phase
    for name, inode in finished.items():
        assert (output / name).stat().st_ino == inode


def test_shards_can_be_done_by_anyone_in_any_order(tmp_path: Path, build, reference: dict[str, str], asked) -> None:
    """As an executor on other machines does them: each in a process of its own, some of them twice."""
    assert child(tmp_path, "listed").returncode == -signal.SIGKILL
    state = tmp_path / "corpus" / STATE_FOLDER
    for phase in PHASES:
        todo = undone(state, phase)
        assert len(todo) > 1 or phase in ("gather", "judge", "decide")
        for shard in [*reversed(todo), *todo]:
            run_shard(state, phase, shard)
        assert undone(state, phase) == []
    build(tmp_path / "src", output=tmp_path / "corpus")
    assert not any(asked.values())
    assert corpus_digest(tmp_path / "corpus") == reference


def test_files_that_change_between_the_passes_are_counted(tmp_path: Path, build, reference: dict[str, str]) -> None:
    source = tmp_path / "src"
    assert child(tmp_path, "deciding").returncode == -signal.SIGKILL
    state = tmp_path / "corpus" / STATE_FOLDER
    run_shard(state, "decide", 0)
    text = python_file(0)
    (source / "r0/m0.py").write_text(text.replace("function", "function"[::-1]))  # as long as before
    (source / "r0/m1.py").unlink()
    (source / "r0/m2.py").write_text(text + "# longer\n")
    (source / "r0/m3.py").unlink()
    (source / "r0/m3.py").symlink_to("m4.py")
    shutil.rmtree(source / "r1")
    for phase in ("clean", "order"):
        for shard in undone(state, phase):
            run_shard(state, phase, shard)
    kept, dropped = 0, {}
    for shard in range(Job(state).shards("clean")):
        tally = Tally.from_json(read_json(Job(state).done("clean", shard)))
        kept += sum(count.files for count in tally.kept.values())
        for reasons in tally.dropped.values():
            for reason, count in reasons.items():
                dropped[reason] = dropped.get(reason, 0) + count.files
    assert kept == 24 - 4 - 6
    assert sum(dropped.values()) == 10
    assert set(dropped) <= {"changed", "unreadable", "symlink"}
    assert dropped["changed"] >= 3


def test_changed_settings_or_sources_start_over(tmp_path: Path, build, reference: dict[str, str]) -> None:
    assert child(tmp_path, "cleaning").returncode == -signal.SIGKILL
    (tmp_path / "src/r0/m0.py").write_text(python_file(7777))
    (tmp_path / "src/r3/m5.py").unlink()
    build(tmp_path / "src", output=tmp_path / "corpus")
    texts = [file.text for file in read_corpus(tmp_path / "corpus")]
    assert len(texts) == len(FILES) - 1
    assert python_file(7777) in texts

    assert child(tmp_path, "cleaning").returncode == -signal.SIGKILL
    report = build(tmp_path / "src", output=tmp_path / "corpus", max_repository_bytes=len(python_file(100)))
    assert report["kept"]["files"] == len({path.split("/")[0] for path in FILES})


def test_two_builds_at_once_are_refused(tmp_path: Path, build) -> None:
    source = write_tree(tmp_path / "src", {"r/a.py": python_file(0)})
    with opened_job(tmp_path / "corpus"), pytest.raises(UserError, match="another build is writing"):
        build(source)
    build(source)


def test_refused_write_in_a_worker_is_a_user_error(tmp_path: Path, build) -> None:
    """The kernel refuses to write past 12,000 bytes of a file: the lists are shorter, the kept texts are not."""
    source = write_tree(tmp_path / "src", {f"r/{index}.py": python_file(index, 200) for index in range(3)})
    limited = child(tmp_path, "", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)))
    assert limited.returncode == 1
    assert "UserError: cannot write" in limited.stderr
    assert "00000.spill" in limited.stderr
    output = tmp_path / "corpus"
    assert [path.name for path in output.iterdir()] == [STATE_FOLDER]
    assert list((output / STATE_FOLDER / "clean").iterdir()) == []
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
    assert total > 12
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
