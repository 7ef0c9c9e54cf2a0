"""report.json: what became of every file, step by step."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from aixmeg.config import CorpusConfig
from aixmeg.corpus.job import PHASES, Job
from aixmeg.corpus.licence import LicenceReport
from aixmeg.corpus.reasons import REASONS
from aixmeg.corpus.sources import repositories
from aixmeg.corpus.steps import STEP_ORDER
from aixmeg.corpus.tally import Count, Tally, total
from aixmeg.files import read_json


def make_report(job: Job, tally: Tally, seconds: dict[str, float]) -> dict[str, Any]:
    """The report of a build whose phases are complete. All but `seconds` and `timing` depends on the sources and the
    configuration alone."""
    orders = [read_json(job.done("order", shard)) for shard in range(job.shards("order"))]
    plan, config = read_json(job.plan), job.config()
    dropped = _by_reason(tally)
    kept = total(tally.kept.values())
    return {
        "repositories": sum(one["repositories"] for one in orders),
        "found": asdict(tally.found) | {"skipped_folders": dict(sorted(tally.skipped_folders.items()))},
        "kept": asdict(kept) | {"text_bytes": tally.text_bytes},
        "dropped": {reason: asdict(dropped[reason]) for reason in dropped},
        "funnel": _funnel(tally),
        "by_language": _largest_first(tally.kept),
        "licences": _licences(job),
        "rank": plan["rank"],
        "sizes": _by_size(tally.sizes),
        "repository_sizes": _by_size(sum((Counter(one["repository_sizes"]) for one in orders), Counter())),
        "duplicates": plan["duplicates"],
        "order": {
            "kinds": dict(sorted(sum((Counter(one["kinds"]) for one in orders), Counter()).items())),
            "imports": sum(one["imports"] for one in orders),
            "backward": sum(one["backward"] for one in orders),
        },
        "counts": dict(sorted(tally.counts.items())),
        "examples": {reason: tally.examples[reason].values() for reason in dropped},
        "audit": {kind: tally.audit[kind].values() for kind in sorted(tally.audit)},
        "shards": len(orders),
        "sources": _sources(config),
        "seconds": round(sum(seconds.values()), 3),
        "timing": _timing(job, tally, orders, seconds, kept),
    }


def _by_reason(tally: Tally) -> dict[str, Count]:
    """The drops of all steps, in the order of the table of reasons."""
    found: dict[str, Count] = {}
    for reasons in tally.dropped.values():
        for reason, count in reasons.items():
            found.setdefault(reason, Count()).add(count.files, count.bytes)
    return {reason: found[reason] for reason in _sorted(found)}


def _sorted(reasons: Iterable[str]) -> list[str]:
    """In the order of the table."""
    place = {reason: number for number, reason in enumerate(REASONS)}
    return sorted(reasons, key=lambda reason: (place.get(reason, len(place)), reason))


def _funnel(tally: Tally) -> list[dict[str, Any]]:
    """Step by step: what it dropped and what was left behind it. A step that dropped nothing is left out."""
    left = Count(tally.found.files, tally.found.bytes)
    stages = []
    for step in [*STEP_ORDER, *sorted(tally.dropped.keys() - set(STEP_ORDER))]:
        reasons = tally.dropped.get(step)
        if not reasons:
            continue
        gone = total(reasons.values())
        left.add(-gone.files, -gone.bytes)
        by_reason = {reason: asdict(reasons[reason]) for reason in _sorted(reasons)}
        stages.append({"step": step, "dropped": by_reason, "left": asdict(left)})
    return stages


def _largest_first(counts: dict[str, Count]) -> dict[str, dict[str, int]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1].bytes, item[0]))
    return {name: asdict(count) for name, count in ordered}


def _licences(job: Job) -> dict[str, Any]:
    """What was found before anything was dropped for its licence; {} if the step is off."""
    if not job.shards("judge"):
        return {}
    report = LicenceReport.from_json(read_json(job.done("gather", 0))["licences"])
    for shard in range(job.shards("judge")):
        report.merge(LicenceReport.from_json(read_json(job.done("judge", shard))["report"]))
    return report.to_json()


def _sources(config: CorpusConfig) -> list[str]:
    found = [str(path) for path in config.sources]
    return found or sorted({str(one.root) for one in repositories(())})  # this machine's


def _by_size(counts: Counter[str]) -> dict[str, int]:
    return {size: counts[size] for size in sorted(counts, key=int)}


def _timing(
    job: Job, tally: Tally, orders: list[dict[str, Any]], seconds: dict[str, float], kept: Count
) -> dict[str, Any]:
    """Wall time of this run by phase; CPU seconds of all runs by phase and step; peak memory of a process in bytes."""
    cpu = dict(tally.cpu) | {"order": sum(one["cpu"] for one in orders)}
    cpu["judge"] = sum(read_json(job.done("judge", shard))["cpu"] for shard in range(job.shards("judge")))
    cpu["gather"] = read_json(job.done("gather", 0))["cpu"]
    spent = sum(cpu.get(phase, 0.0) for phase in PHASES)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "wall": {phase: round(value, 3) for phase, value in seconds.items()},
        "cpu": {name: round(cpu[name], 3) for name in sorted(cpu)},
        "cpu_seconds": round(spent, 3),
        "mb_per_cpu_second": round(tally.found.bytes / 1e6 / spent, 3) if spent else None,
        "kept_mb_per_cpu_second": round(kept.bytes / 1e6 / spent, 3) if spent else None,
        "peak_bytes": peak * 1024,
    }
