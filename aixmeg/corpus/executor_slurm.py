"""Shards as SLURM job arrays: one array per phase, watched until every shard has its completion marker.

What is undone when an array has left the queue is submitted again, and nothing else: a node that dies, a task that is
cancelled or killed costs its own shards. The exit status of a task is not asked for; on some installations `srun` and
arrays report success for tasks that never ran.
"""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aixmeg.config.corpus import ExecutorConfig
from aixmeg.corpus.job import Job
from aixmeg.corpus.run_shards import Progress, run_shards
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, write_json

_SCRIPT = """#!/bin/bash
set -euo pipefail
exec {python} -m aixmeg corpus work {job} {phase} --shards {shards} --task "$SLURM_ARRAY_TASK_ID"
"""


class SlurmArrays:
    """An executor that submits job arrays and waits for them."""

    def __init__(self, config: ExecutorConfig, job: Job) -> None:
        self._config, self._job = config, job
        self._folder = job.folder.resolve() / "slurm"

    def run(self, phase: str, todo: Sequence[int], progress: Progress) -> None:
        """Do the shards `todo`; what an array leaves undone is submitted again, `retries` times."""
        self._wait_for_earlier()
        left = list(todo)
        for attempt in range(self._config.retries + 1):
            if not left:
                return
            array = self._submit(phase, left, attempt)
            self._wait(array, phase, left, progress)
            left = [shard for shard in left if not self._job.done(phase, shard).exists()]
        if left:
            raise UserError(
                f"{len(left)} shards of {phase} are still undone after {self._config.retries + 1} job arrays, shard "
                f"{left[0]} among them; {self._last_words(phase)}; mend the cause and run the command again, it goes "
                "on from the finished shards"
            )

    def _submit(self, phase: str, shards: list[int], attempt: int) -> str:
        """Submit an array over `shards`; returns its job id."""
        per_task = math.ceil(len(shards) / self._config.array_tasks)
        tasks = [shards[start : start + per_task] for start in range(0, len(shards), per_task)]
        name = f"{phase}-{attempt}"
        listing, script = self._folder / f"{name}.json", self._folder / f"{name}.sh"
        write_json(listing, {"tasks": tasks, "cpus_per_task": self._config.cpus_per_task})
        words = {
            "python": sys.executable,
            "job": str(self._job.folder.resolve()),
            "phase": phase,
            "shards": str(listing),
        }
        with atomic_write(script) as file:
            file.write(_SCRIPT.format(**{key: shlex.quote(value) for key, value in words.items()}))
        printed = _slurm(
            "sbatch", "--parsable", f"--array=0-{len(tasks) - 1}", f"--job-name=aixmeg-{phase}",
            f"--cpus-per-task={self._config.cpus_per_task}", "--open-mode=append", "--requeue",
            f"--output={self._folder}/{name}-%a.log", *self._config.sbatch_options, str(script),
        )  # fmt: skip
        array = printed.strip().split(";")[0]
        write_json(self._folder / "running.json", {"array": array})
        return array

    def _wait(self, array: str, phase: str, shards: list[int], progress: Progress) -> None:
        """Until every shard is done or the array has left the queue."""
        size, count = self._job.described()["bytes"], max(self._job.shards(phase), 1)
        while True:
            queued = _is_queued(array)  # asked first: a task that ends between the two questions has left its marker
            done = sum(self._job.done(phase, shard).exists() for shard in shards)
            progress(size * done // count)
            if done == len(shards) or not queued:
                (self._folder / "running.json").unlink(missing_ok=True)
                return
            time.sleep(self._config.poll_seconds)

    def _wait_for_earlier(self) -> None:
        """An array of a build that was killed may still be running: its shards are not done twice at once."""
        running = self._folder / "running.json"
        if running.exists():
            array = read_json(running)["array"]
            while _is_queued(array):
                time.sleep(self._config.poll_seconds)
            running.unlink()

    def _last_words(self, phase: str) -> str:
        """The end of the newest log of a phase that says something."""
        for log in sorted(self._folder.glob(f"{phase}-*.log"), key=lambda path: path.stat().st_mtime, reverse=True):
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return f"{log} ends with: {lines[-1][:300]}"
        return f"no task has written a log in {self._folder}"


def work(job: Path, phase: str, shards: Path, *, task: int) -> None:
    """`aixmeg corpus work`: what one task of an array does.

    Raises:
        UserError: there is no such task, or a shard cannot be done.
    """
    listing = read_json(shards)
    if not 0 <= task < len(listing["tasks"]):
        raise UserError(f"{shards} has {len(listing['tasks'])} tasks, none with number {task}")
    run_shards(job, phase, listing["tasks"][task], workers=listing["cpus_per_task"])


def _is_queued(array: str) -> bool:
    """Whether a task of the array waits or runs. A controller that does not answer is asked again later."""
    result = subprocess.run(["squeue", "-h", "-j", array, "-o", "%t"], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return bool(result.stdout.split())
    return "invalid job id" not in result.stderr.lower()


def _slurm(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(
            f"{command[0]} is not on the PATH; run this where jobs are submitted, or use corpus.executor.kind=pool"
        ) from error
    if result.returncode:
        raise UserError(f"{shlex.join(command)} failed: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
