"""An evaluation: completions first, in fixed batches, then scores, in parallel; both can be killed and gone on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.eval.benchmark import Benchmark
from aixmeg.eval.completers import Completer, GenerateSettings
from aixmeg.eval.sandbox import Sandbox
from aixmeg.eval.scores import bootstrap, pass_at_k
from aixmeg.eval.store import Lines
from aixmeg.eval.task import Task

Progress = Callable[[str, int, int], None]
_PASS_AT = (1, 10, 100)


def check_names(tasks: Sequence[Task], path: Path) -> None:
    """Refuse a set in which two tasks have one name.

    Raises:
        UserError: the name.
    """
    name, count = Counter(task.name for task in tasks).most_common(1)[0]
    if count > 1:
        raise UserError(f"{path}: {count} records are called {name!r}; a name must be unique")


def complete_all(
    tasks: Sequence[Task], completer: Completer, settings: GenerateSettings, file: Path, progress: Progress
) -> Lines:
    """Completions of all samples, in the order of prompt lengths.

    Batches are the same however often the run was interrupted, so that rounding, which depends on a batch's shape, is
    too; an unfinished one is made again.
    """
    lengths = {task.name: len(task.prefix) + len(task.suffix or "") for task in tasks}
    order = sorted(tasks, key=lambda task: lengths[task.name])
    jobs = [(task, number) for task in order for number in range(settings.samples)]
    lines = Lines(file)
    size = settings.batch_size
    if len(lines.records) < len(jobs):
        lines.cut(len(lines.records) // size * size)
    for start in range(len(lines.records), len(jobs), size):
        batch = jobs[start : start + size]
        answers = completer.complete(batch)
        lines.add(
            [
                {
                    "task": task.name, "sample": number, "text": answer.text, "stopped": answer.stopped,
                    "tokens": answer.tokens, "note": answer.note,
                }
                for (task, number), answer in zip(batch, answers, strict=True)
            ]
        )  # fmt: skip
        progress("completions", len(lines.records), len(jobs))
    return lines


def score_all(
    benchmark: Benchmark, tasks: Sequence[Task], completions: Lines, file: Path, *, sandbox: Sandbox, workers: int,
    progress: Progress,
) -> Lines:  # fmt: skip
    """A record per sample: what was written, what of it counts, scores. In the order of the completions."""
    by_name = {task.name: task for task in tasks}
    lines = Lines(file)
    total = len(completions.records)

    def judge(made: dict[str, Any]) -> dict[str, Any]:
        task = by_name[made["task"]]
        counted = benchmark.cut(task, made["text"])
        kept = {} if counted == made["text"] else {"counted": counted}
        return {**made, **kept, "group": task.group, **benchmark.score(task, counted, sandbox)}

    with ThreadPoolExecutor(workers) as pool:
        step = 8 * workers
        for start in range(len(lines.records), total, step):
            lines.add(list(pool.map(judge, completions.records[start : start + step])))
            progress("scores", len(lines.records), total)
    return lines


def summarise(benchmark: Benchmark, samples: Sequence[dict[str, Any]], *, seed: int = 0) -> dict[str, Any]:
    """Metrics of all tasks ("") and of each group, with 95 % intervals over tasks, and how programs ended."""
    # "java/if" counts for "java" and for "java/if".
    parts: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        names = sample["group"].split("/")
        for depth in range(1, len(names) + 1):
            parts.setdefault("/".join(names[:depth]), []).append(sample)
    chosen = {"": list(samples)} | {name: parts[name] for name in sorted(parts) if name}
    return {
        "metrics": {name: _metrics(benchmark, part, seed) for name, part in chosen.items()},
        "outcomes": dict(sorted(Counter(s["outcome"] for s in samples if "outcome" in s).items())),
        "stopped": dict(sorted(Counter(s["stopped"] for s in samples).items())),
        "shortened_prompts": sum(bool(s["note"]) for s in samples),
    }


def _metrics(benchmark: Benchmark, samples: Iterable[dict[str, Any]], seed: int) -> dict[str, Any]:
    by_task: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        by_task.setdefault(sample["task"], []).append(sample)
    found: dict[str, Any] = {}
    for metric in benchmark.metrics:
        values = {name: [s[metric] for s in part if s.get(metric) is not None] for name, part in by_task.items()}
        scored = [values[name] for name in sorted(values) if values[name]]
        if not scored:
            continue
        if metric != "pass":
            found[metric] = _interval([sum(one) / len(one) for one in scored], seed)
            continue
        for k in _PASS_AT:
            if k <= min(map(len, scored)):
                found[f"pass@{k}"] = _interval([pass_at_k(len(one), int(sum(one)), k) for one in scored], seed)
    return found


def _interval(values: Sequence[float], seed: int) -> dict[str, Any]:
    interval = bootstrap(values, seed=seed)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "tasks": len(values)}
