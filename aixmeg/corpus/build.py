"""The whole build: walk → read → select → parse → publish."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from aixmeg.config import CorpusConfig
from aixmeg.corpus.executor import Step, Workers
from aixmeg.corpus.job import Job, opened_job
from aixmeg.corpus.progress import Progress
from aixmeg.corpus.reasons import REASONS
from aixmeg.corpus.select import Readable, select
from aixmeg.corpus.shards import Shards, whole_repositories
from aixmeg.corpus.sources import Repository, repositories
from aixmeg.corpus.steps import parse_step, read_step
from aixmeg.corpus.tally import Tally, total
from aixmeg.corpus.walk import Rules, walk
from aixmeg.errors import UserError
from aixmeg.files import read_json, read_jsonl, write_json
from aixmeg.languages import LANGUAGES

_VERSION: Final = 1
"""Raised when the code would give other output for the same input, so that no build is continued across the change."""


def build_corpus(config: CorpusConfig, output: Path) -> dict[str, Any]:
    """Build the corpus in `output` and return its report. Two runs on the same files give the same bytes, whatever
    the number of workers and wherever a first one was killed.

    Raises:
        UserError: no source, no file kept, a worker killed, a full disk. An earlier corpus in `output` stays whole.
    """
    start = time.monotonic()
    rules, found = Rules.of(config, output), repositories(config.sources)
    with opened_job(output) as job:
        # 1. Walk: what is there, and what may be kept by its name, kind and size.
        description = _list(job, config, found, rules)
        tally = Tally.from_json(description["tally"])
        _check_kept(description["files"], tally, config, job)
        with Workers(config.workers, max_file_bytes=config.max_file_bytes) as workers:
            # 2. Read: text or not, and its digest.
            listed = description["listed"]
            _run(workers, read_step, job, job.hashed, shards=listed, size=description["bytes"])
            # 3. Select: one copy of each content, within the budgets.
            plan = _plan(job, listed, config)
            tally.add(Tally.from_json(plan["tally"]))
            # 4. Parse: drop what has too many syntax errors, write the rest.
            _run(workers, parse_step, job, job.shard_tally, shards=plan["planned"], size=plan["bytes"])
        for shard in range(plan["planned"]):
            tally.add(Tally.from_json(read_json(job.shard_tally(shard))))
        _check_kept(total(tally.kept.values()).files, tally, config, job)
        # 5. Publish.
        report = _report(tally, plan["planned"]) | {"sources": _sources(config, found)}
        report["seconds"] = round(time.monotonic() - start, 3)
        job.publish(output, plan["planned"], report)
    return report


def _list(job: Job, config: CorpusConfig, found: list[Repository], rules: Rules) -> dict[str, Any]:
    """Walk the repositories and write the listing, by shard. Starts over unless an unfinished build was of the same."""
    tally = Tally()
    settings = asdict(config) | {"sources": [str(path.resolve()) for path in config.sources]}
    del settings["workers"]  # the output does not depend on it
    digest = hashlib.sha256(_stamp(settings).encode())
    with Shards(job.listed) as shards, Progress("looking for source files") as progress:
        for repository in found:
            for file in walk(repository, rules, tally):
                shards.add(asdict(file), file.bytes)
            progress.files(tally.found.files)
    for shard in range(shards.count):
        digest.update(job.listed(shard).read_bytes())
    description = {
        "fingerprint": digest.hexdigest(),
        "max_error_share": config.max_error_share,
        "roots": {one.name: str(one.root) for one in found},
        "listed": shards.count,
        "files": shards.files,
        "bytes": shards.bytes,
        "tally": tally.to_json(),
    }
    if not job.describes(description["fingerprint"]):
        job.restart(description)
    return description


def _stamp(settings: dict[str, Any]) -> str:
    parsers = {name: version(name) for name in ("tree-sitter", "tree-sitter-language-pack")}
    languages = [asdict(language) for language in LANGUAGES.values()]
    return json.dumps([_VERSION, settings, parsers, languages], default=str)


def _run(workers: Workers, step: Step, job: Job, done: Callable[[int], Path], *, shards: int, size: int) -> None:
    """Run a step over the shards whose `done` file is not there yet."""
    todo = [shard for shard in range(shards) if not done(shard).exists()]
    title = "reading" if step is read_step else "parsing"
    with Progress(title, total=size * len(todo) // max(shards, 1)) as progress:
        workers.run(step, job.folder, todo, progress.bytes)


def _plan(job: Job, listed: int, config: CorpusConfig) -> dict[str, Any]:
    """Select among the read files, in corpus order, and divide them into output shards."""
    if job.plan.exists():
        return read_json(job.plan)
    tally = Tally()
    files = select(_readable(job, listed, tally), max_repository_bytes=config.max_repository_bytes, tally=tally)
    with Shards(job.planned) as shards:
        for group in whole_repositories(files):
            shards.room_for(sum(file.bytes for file in group))
            for file in group:
                shards.add(asdict(file), file.bytes)
    plan = {"planned": shards.count, "bytes": shards.bytes, "tally": tally.to_json()}
    write_json(job.plan, plan)
    return plan


def _readable(job: Job, listed: int, tally: Tally) -> Iterator[Readable]:
    for shard in range(listed):
        for record in read_jsonl(job.hashed(shard)):
            del record["mtime_ns"]
            if "dropped" in record:
                tally.drop(record["dropped"], record["bytes"], f"{record['repository']}/{record['path']}")
            else:
                yield Readable(**record)


def _sources(config: CorpusConfig, found: list[Repository]) -> list[str]:
    return [str(path) for path in config.sources] or sorted({str(one.root) for one in found})


def _report(tally: Tally, shards: int) -> dict[str, Any]:
    order = list(REASONS)
    by_size = sorted(tally.kept.items(), key=lambda item: (-item[1].bytes, item[0]))
    dropped = {reason: asdict(tally.dropped[reason]) for reason in order if reason in tally.dropped}
    return {
        "repositories": len(tally.repositories),
        "found": asdict(tally.found) | {"skipped_folders": dict(sorted(tally.skipped_folders.items()))},
        "kept": asdict(total(tally.kept.values())),
        "dropped": dropped,
        "by_language": {language: asdict(count) for language, count in by_size},
        "examples": {reason: tally.examples[reason] for reason in dropped},
        "shards": shards,
    }


def _check_kept(files: int, tally: Tally, config: CorpusConfig, job: Job) -> None:
    """Raise if no file is left, and leave no trace of the build."""
    if files:
        return
    job.discard()
    with contextlib.suppress(OSError):  # it holds an earlier corpus, or something else
        job.folder.parent.rmdir()
    where = ", ".join(str(path) for path in config.sources) or "this machine's Python installation"
    counts = [f"{count.files} {reason} ({REASONS[reason]})" for reason, count in tally.dropped.items()]
    raise UserError(
        f"the corpus would be empty: {tally.found.files} files were found in {where} and none is kept"
        + (f"; dropped: {', '.join(counts)}" if counts else "")
        + "; give corpus.sources folders whose sub-folders hold source code, or relax corpus.languages and the limits"
    )
