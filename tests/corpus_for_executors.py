"""A corpus that takes every executor a few shards, and what a build of it leaves."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from aixmeg.config import CorpusConfig
from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.job import STATE_FOLDER, Job
from aixmeg.corpus.sources import iter_inputs

SETTINGS = ["--corpus.licence.unknown", "keep", "--corpus.near.enabled", "false", "--corpus.workers", "1"]
REPOSITORIES = 5
_FILLER = "x" * 9_000_000
"""A file that is dropped for its size: two of them do not fit one shard, so that every part is one."""


def write_sources(folder: Path, *, slow: int = 0) -> Path:
    """Repositories with a few files, one JSON-lines file for each so that every one is an input of its own; `slow`
    copies of one file in the last of them, which take a while to be read and are one file in the end."""
    folder.mkdir(parents=True)
    for number in range(REPOSITORIES):
        lines = []
        for file in range(30):
            body = "\n".join(f"    total_{number}_{file} += value * {line * number + file}" for line in range(8))
            name = f"{number}_{file}"
            text = f"def function_{name}(value, total_{name}=0):\n{body}\n    return total_{name}\n"
            lines.append({"content": text, "path": f"pkg/f{file}.py", "repository": f"repository{number}"})
        if number == REPOSITORIES - 1:
            lines += [{"content": lines[0]["content"], "path": f"copy{copy}.py", "repository": "copies"}
                      for copy in range(slow)]  # fmt: skip
        lines.append({"content": _FILLER, "path": "large.py", "repository": f"repository{number}"})
        path = folder / f"part{number}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def command(sources: Path, output: Path, *more: str) -> list[str]:
    """The words after `python`."""
    inputs = ", ".join(str(path) for path in sorted(sources.iterdir()))
    words = ["-m", "aixmeg", "corpus", "build", "--corpus.sources", f"[{inputs}]", "--paths.corpus", str(output)]
    return [*words, *SETTINGS, *more]


def build(sources: Path, output: Path, *more: str) -> None:
    """Build with the pool."""
    subprocess.run([sys.executable, *command(sources, output, *more)], check=True, capture_output=True, timeout=300)


def digests(corpus: Path) -> dict[str, str]:
    """Of every file that a corpus consists of, but for the report, which tells times."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(corpus.glob("shard-*"))}


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each file below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = status.st_ino, status.st_mtime_ns
    return found


def described(sources: Path, output: Path, **options: Any) -> Any:
    """The job of a build that has not begun, for the phase `scan`."""
    config = CorpusConfig(
        sources=tuple(sorted(sources.iterdir())), near=NearConfig(enabled=False), workers=1, **options
    )
    job = Job(output / STATE_FOLDER)
    job.folder.mkdir(parents=True)
    job.describe(iter_inputs(config, output), config, output, "test")
    return job
