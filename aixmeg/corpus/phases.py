"""The phases of a build, each a list of shards that any process may do: what an executor needs to know.

    for phase in PHASES:
        for shard in undone(job_folder, phase):
            run_shard(job_folder, phase, shard)

A shard reads what earlier phases left in the job folder, writes its output atomically, and its completion marker last.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aixmeg.corpus.arrange import order_shard
from aixmeg.corpus.clean import clean_shard
from aixmeg.corpus.decide import decide
from aixmeg.corpus.executor import Step, Tick
from aixmeg.corpus.job import PHASES, Job
from aixmeg.corpus.judge import judge_shard
from aixmeg.corpus.repositories import gather
from aixmeg.corpus.scan import scan_shard

__all__ = ["FUNCTIONS", "PHASES", "run_shard", "undone"]

FUNCTIONS: Final[Mapping[str, Step]] = {
    "scan": scan_shard, "gather": gather, "judge": judge_shard, "decide": decide, "clean": clean_shard,
    "order": order_shard,
}  # fmt: skip
"""What does a shard of each phase; `gather` and `decide` have one shard each, which is cheap."""


def undone(job_folder: Path, phase: str) -> list[int]:
    """The shards of a phase that are still to be done. The earlier phases must be complete."""
    return Job(job_folder).undone(phase)


def run_shard(
    job_folder: Path, phase: str, shard: int, *, skip: Mapping[int, str] | None = None, tick: Tick | None = None
) -> None:
    """Do everything for one shard in this process; nothing if it is done.

    Args:
        job_folder: the state folder of a build.
        phase: one of PHASES.
        shard: its number.
        skip: documents to drop unseen: index in the input → reason (`parser_crash`, after one ended the process).
        tick: see `aixmeg.corpus.executor.Tick`.

    Raises:
        UserError: a source is gone, or a write was refused.
    """
    if not Job(job_folder).done(phase, shard).exists():
        FUNCTIONS[phase](job_folder, shard, skip or {}, tick or (lambda index, done: None))
