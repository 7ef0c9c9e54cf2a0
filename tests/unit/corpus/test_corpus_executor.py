"""Workers that crash, hang, fail or are killed. The steps are functions of this module, run in real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from aixmeg.corpus.executor import Tick, Workers
from aixmeg.errors import UserError

FILES = 4


def run(step, job: Path, shards: range, count: int = 2) -> list[int]:
    seen: list[int] = []
    with Workers(count, max_file_bytes=1000, cpu_seconds_per_file=1) as workers:
        workers.run(step, job, shards, seen.append)
    return seen


def note(job: Path, shard: int, lines: list[str]) -> None:
    (job / f"{shard}").write_text(" ".join(lines))


def nasty_step(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    lines = []
    for index in range(FILES):
        tick(index, index * 10)
        lines.append(skip.get(index, "ok"))
        if index in skip:
            continue
        if (shard, index) == (1, 2):
            os.kill(os.getpid(), signal.SIGSEGV)
        if (shard, index) in ((1, 3), (2, 0)):
            os.abort()
        if (shard, index) == (3, 1):
            while True:
                pass
        if (shard, index) == (4, 0):
            bytes(3 << 30)  # past the limit of a worker; never touched, so cheap if there were no limit
    tick(-1, FILES * 10)
    note(job, shard, lines)


def test_crashes_and_hangs_cost_only_their_file(tmp_path: Path) -> None:
    seen = run(nasty_step, tmp_path, range(6))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "0": "ok ok ok ok",
        "1": "ok ok parser_crash parser_crash",
        "2": "parser_crash ok ok ok",
        "3": "ok parser_timeout ok ok",
        "4": "parser_crash ok ok ok",
        "5": "ok ok ok ok",
    }
    assert seen[-1] == 6 * FILES * 10


def refusing_step(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    if shard == 3:
        raise UserError("the disk is full")
    note(job, shard, ["ok"])


def test_user_error_of_a_step_is_raised_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^the disk is full$"):
        run(refusing_step, tmp_path, range(4), count=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]  # finished shards stay


def wrong_step(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    raise KeyError("a bug")


def test_other_errors_come_with_the_workers_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)shard 0:.*wrong_step.*a bug"):
        run(wrong_step, tmp_path, range(1))


def killed_step(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    tick(0, 0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_a_user_error_not_a_drop(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="status -9.*run the command again"):
        run(killed_step, tmp_path, range(1))


def crash_outside_a_file(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    tick(-1, 0)
    os.abort()


def test_crash_outside_a_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="status -6"):
        run(crash_outside_a_file, tmp_path, range(1))


def slow_between_files(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    tick(0, 0)
    tick(-1, 0)
    end = time.process_time() + 1.3
    while time.process_time() < end:
        pass
    note(job, shard, list(skip.values()) or ["ok"])


def test_only_files_have_a_limit_of_time(tmp_path: Path) -> None:
    run(slow_between_files, tmp_path, range(1))
    assert (tmp_path / "0").read_text() == "ok"


def pid_step(job: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    note(job, shard, [str(os.getpid())])
    time.sleep(0.05)


def test_workers_are_reused_and_leave_no_process(tmp_path: Path) -> None:
    with Workers(2, max_file_bytes=1000) as workers:
        for job in ("a", "b"):
            (tmp_path / job).mkdir()
            workers.run(pid_step, tmp_path / job, range(8), lambda done: None)
    pids = {int(path.read_text()) for path in tmp_path.glob("*/*")}
    assert 1 <= len(pids) <= 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
