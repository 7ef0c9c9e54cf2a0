"""Phase 3, over inputs: the licence of every scanned file, by what it says itself and what its repository says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.corpus.executor import Tick
from aixmeg.corpus.job import Job
from aixmeg.corpus.licence import Evidence, LicenceReport, Policy
from aixmeg.corpus.repositories import Gathered
from aixmeg.corpus.rows import open_rows
from aixmeg.corpus.tally import cpu_seconds
from aixmeg.files import atomic_write, write_json

LICENCE_REASONS: Final = ("licence_unknown", "licence_copyleft", "licence_weak_copyleft", "licence_non_free",
                          "licence_permissive", "licence_public_domain")  # fmt: skip
"""What a file may be dropped for; its code is its place, from 1."""
_CODE: Final = {reason: code for code, reason in enumerate(LICENCE_REASONS, 1)}


def judge_shard(folder: Path, shard: int, skip: Mapping[int, str], tick: Tick) -> None:
    """scan/*, gather/* → judge/*: a code per file (0 keeps it), and the number of its licence in a list."""
    start = cpu_seconds()
    job, report = Job(folder), LicenceReport()
    policy = Policy(job.config().licence)
    rows = open_rows(job.at("scan", shard, "rows"))
    said = Gathered(job).licences(np.unique(rows["repository"]).tolist())
    codes, which = np.zeros(len(rows), np.uint8), np.zeros(len(rows), "<u4")
    numbers: dict[str, int] = {"": 0}
    tick(-1, 0)
    with job.at("scan", shard, "names").open("rb") as lines:
        for row, (line, key, size) in enumerate(
            zip(lines, rows["repository"].tolist(), rows["size"].tolist(), strict=True)
        ):
            repository, path, evidence = json.loads(line)
            given = None if evidence is None else Evidence.from_json(evidence)
            decision = said[key].decide(path, given, policy)
            report.add(f"{repository}/{path}", size, decision)
            codes[row] = 0 if decision.reason is None else _CODE[decision.reason]
            which[row] = numbers.setdefault(decision.expression, len(numbers))
    tick(-1, int(rows["size"].sum()))
    for kind, column in (("codes", codes), ("which", which)):
        with atomic_write(job.at("judge", shard, kind), "wb") as out:
            out.write(column.tobytes())
    marker = {"licences": list(numbers), "report": report.to_json(), "cpu": cpu_seconds() - start}
    write_json(job.done("judge", shard), marker)  # last: it marks the shard as done
