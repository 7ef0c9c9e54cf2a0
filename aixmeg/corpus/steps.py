"""The two steps that run in workers, each over one shard of a job folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.read import checked_digest, read_bytes
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.select import Readable
from aixmeg.corpus.source_file import SourceFile
from aixmeg.corpus.syntax import error_share
from aixmeg.corpus.tally import Tally
from aixmeg.files import atomic_write, read_json, read_jsonl, write_json
from aixmeg.languages import LANGUAGES


def read_step(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """listed → hashed: read each candidate and note its digest, or why it is dropped."""
    job, done = Job(folder), 0
    roots = job.roots()
    with atomic_write(job.hashed(shard), "wb") as out:
        for index, file in enumerate(read_jsonl(job.listed(shard))):
            tick(index, done)
            done += file["bytes"]
            try:
                if index in skip:
                    raise Dropped(skip[index])
                content = read_bytes(roots[file["repository"]], file["path"], file["bytes"])
                result = {"sha256": checked_digest(content)}
            except Dropped as drop:
                result = {"dropped": drop.reason}
            out.write(json.dumps(file | result, ensure_ascii=False).encode() + b"\n")
        tick(-1, done)


def parse_step(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """planned → shard: read each selected file again, measure its syntax errors, write it or count its drop."""
    job, tally, done = Job(folder), Tally(), 0
    roots, settings = job.roots(), read_json(job.description)
    with atomic_write(job.shard(shard), "wb") as out:
        for index, record in enumerate(read_jsonl(job.planned(shard))):
            tick(index, done)
            file = Readable(**record)
            done += file.bytes
            try:
                if index in skip:
                    raise Dropped(skip[index])
                kept = _parsed(file, roots[file.repository], settings["max_error_share"])
                out.write(kept.to_line())
                tally.keep(file.language, file.bytes, file.repository)
            except Dropped as drop:
                tally.drop(drop.reason, file.bytes, f"{file.repository}/{file.path}")
        tick(-1, done)
    write_json(job.shard_tally(shard), tally.to_json())  # last: it marks the shard as done


def _parsed(file: Readable, root: Path, max_error_share: float) -> SourceFile:
    content = read_bytes(root, file.path, file.bytes)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise Dropped("changed")
    share = error_share(LANGUAGES[file.language], content)
    if share > max_error_share:
        raise Dropped("syntax_errors")
    fields: dict[str, Any] = asdict(file)
    return SourceFile(**fields, text=content.decode(), error_share=share)
