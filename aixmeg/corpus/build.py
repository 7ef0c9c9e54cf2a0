"""The whole build: scan → gather → judge → decide → clean → order → publish."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from aixmeg import __version__
from aixmeg.config import CorpusConfig
from aixmeg.corpus.executors import Executor, check_executor, opened_executor
from aixmeg.corpus.funnel import make_report
from aixmeg.corpus.job import Job, opened_job
from aixmeg.corpus.phases import run_shard
from aixmeg.corpus.progress import Progress
from aixmeg.corpus.reasons import REASONS
from aixmeg.corpus.sources import Input, iter_inputs
from aixmeg.corpus.tally import Tally, total
from aixmeg.errors import UserError
from aixmeg.files import read_json
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import native

_VERSION: Final = 2
"""Raised when the code would give other output for the same input, so that no build is continued across the change."""
_TITLES: Final = {"scan": "reading", "judge": "licences", "clean": "cleaning", "order": "ordering"}


def build_corpus(config: CorpusConfig, output: Path) -> dict[str, Any]:
    """Build the corpus in `output` and return its report. Two runs on the same sources give the same bytes, whatever
    the number of workers and wherever a first one was killed.

    Raises:
        UserError: no source, no file kept, a worker killed, a full disk. An earlier corpus in `output` stays whole.
    """
    check_executor(config)
    if not native.is_built():
        print("note: syntax trees are walked in Python, which is several times slower; `make tree-sitter` builds the "
              "compiled walk", file=sys.stderr)  # fmt: skip
    clock = _Clock()
    with opened_job(output) as job:
        job.describe(_shown(iter_inputs(config, output)), config, output, _stamp(config))
        clock.lap("list")
        with opened_executor(config, job) as executor:
            # 1. Scan: read and judge every file by itself.
            _run(executor, job, "scan")
            clock.lap("scan")
            # 2. Gather: what all inputs tell of each repository.
            run_shard(job.folder, "gather", 0)
            clock.lap("gather")
            # 3. Judge: licences.
            _run(executor, job, "judge")
            clock.lap("judge")
            # 4. Decide: ranks, duplicates, budgets.
            run_shard(job.folder, "decide", 0)
            clock.lap("decide")
            _check_kept(_tally(job, "scan", "decide"), read_json(job.plan)["files"], config, job)
            # 5. Clean: what is left, read again, goes through the steps that change it or cost more.
            _run(executor, job, "clean")
            clock.lap("clean")
            tally = _tally(job, "scan", "decide", "clean")
            _check_kept(tally, total(tally.kept.values()).files, config, job)
            # 6. Order: repositories anywhere, their files by relation.
            _run(executor, job, "order")
            clock.lap("order")
        report = make_report(job, tally, clock.seconds)
        job.publish(output, report["shards"], report)
    return report


def _shown(inputs: Iterable[Input]) -> Iterator[Input]:
    with Progress("ranges of source files") as progress:
        for number, one in enumerate(inputs, 1):
            progress.files(number)
            yield one


def _stamp(config: CorpusConfig) -> str:
    settings = asdict(config)
    del settings["workers"], settings["executor"]  # the output does not depend on them
    parsers = {name: version(name) for name in ("tree-sitter", "tree-sitter-language-pack")}
    languages = [asdict(language) for language in LANGUAGES.values()]
    read = [path for path in (config.rank.metadata, *config.decontaminate.benchmarks) if path is not None]
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in read if path.is_file()]
    return json.dumps([_VERSION, __version__, settings, parsers, languages, files], default=str)


def _run(executor: Executor, job: Job, phase: str) -> None:
    todo, shards = job.heaviest_first(phase, job.undone(phase)), job.shards(phase)
    size = job.described()["bytes"] if phase in ("scan", "judge") else read_json(job.plan)["bytes"]
    with Progress(_TITLES[phase], total=size * len(todo) // max(shards, 1)) as progress:
        executor.run(phase, todo, progress.bytes)


def _tally(job: Job, *phases: str) -> Tally:
    """The counts of phases that are complete."""
    tally = Tally()
    for phase in phases:
        for shard in range(job.shards(phase)):
            marker = read_json(job.done(phase, shard))
            tally.add(Tally.from_json(marker["tally"] if phase == "decide" else marker))
    return tally


class _Clock:
    """Wall time of each phase."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        now = time.monotonic()
        self.seconds[phase] = now - self._last
        self._last = now


def _check_kept(tally: Tally, files: int, config: CorpusConfig, job: Job) -> None:
    """Raise if no file is left, and leave no trace of the build."""
    if files:
        return
    job.discard()
    with contextlib.suppress(OSError):  # it holds an earlier corpus, or something else
        job.folder.parent.rmdir()
    where = ", ".join(str(path) for path in config.sources) or "this machine's Python installation"
    dropped = [(reason, one.files) for reasons in tally.dropped.values() for reason, one in reasons.items()]
    counts = [f"{files} {reason} ({REASONS.get(reason, reason)})" for reason, files in dropped]
    raise UserError(
        f"the corpus would be empty: {tally.found.files} files were found in {where} and none is kept"
        + (f"; dropped: {', '.join(counts)}" if counts else "")
        + "; give corpus.sources folders whose sub-folders hold source code, or relax corpus.languages and the limits"
    )
