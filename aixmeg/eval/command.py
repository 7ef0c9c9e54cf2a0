"""`aixmeg eval NAME`: read the tasks, complete them, score them, write JSON, a table and a page."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from aixmeg import __version__
from aixmeg.errors import UserError
from aixmeg.eval.benchmarks import BENCHMARKS
from aixmeg.eval.completers import GenerateSettings, followed, open_completer
from aixmeg.eval.page import render
from aixmeg.eval.run import Progress, check_names, complete_all, score_all, summarise
from aixmeg.eval.sandbox import Mode, Sandbox
from aixmeg.eval.store import same_run
from aixmeg.eval.table import print_table
from aixmeg.eval.task import digest
from aixmeg.files import atomic_write, write_json


def evaluate(
    name: str,
    *,
    model: str,
    data: Path,
    out: Path,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    max_new_tokens: int | None = None,
    mode: Literal["psm", "spm"] = "psm",
    batch_size: int = 8,
    dtype: Literal["fp32", "bf16"] = "fp32",
    limit: int | None = None,
    workers: int | None = None,
    sandbox: Mode = "namespaces",
) -> dict[str, Any]:
    """Evaluate `model` on a benchmark; the same command goes on where it was interrupted.

    Started as several processes (torchrun), they share a folder's model, and the first one does all else; the others
    return nothing.

    Raises:
        UserError: bad options or records, no model, no sandbox, or another evaluation in `out`.
    """
    benchmark = BENCHMARKS[name]
    settings = GenerateSettings(
        samples=samples, temperature=temperature, top_p=top_p, seed=seed, mode=mode, batch_size=batch_size, dtype=dtype,
        max_new_tokens=max_new_tokens or benchmark.max_new_tokens,
    )  # fmt: skip
    _check(settings, limit, workers)
    tasks = benchmark.read(data)
    check_names(tasks, data)
    tasks = tasks[:limit]
    if followed(model, settings):
        return {}
    workers = workers or max(1, min(8, len(os.sched_getaffinity(0))))
    with Sandbox(sandbox, benchmark.limits, remember=True) as box, _progress() as progress:
        if benchmark.executes:
            box.check()
        with open_completer(model, settings, workers=workers) as completer:
            noted = dataclasses.asdict(settings) | {
                "benchmark": name, "model": f"{model} ({completer.name})" if completer.name != model else model,
                "data": str(data), "data_sha256": digest(data), "tasks": len(tasks),
                "sandbox": sandbox if benchmark.executes else None,
            }  # fmt: skip
            same_run(out, noted)
            completions = complete_all(tasks, completer, settings, out / "completions.jsonl", progress)
        scored = score_all(
            benchmark, tasks, completions, out / "samples.jsonl", sandbox=box, workers=workers, progress=progress
        )
    summary = {"aixmeg": __version__, "model": noted["model"], "settings": noted} | summarise(
        benchmark, scored.records, seed=seed
    )
    write_json(out / "summary.json", summary)
    with atomic_write(out / "report.html") as file:
        file.write(render(benchmark, summary, scored.records, tasks, written=datetime.now()))
    print_table(benchmark, summary)
    print(f"{out / 'samples.jsonl'}, {out / 'summary.json'}, {out / 'report.html'}")
    return summary


def _check(settings: GenerateSettings, limit: int | None, workers: int | None) -> None:
    """All that is wrong with the numbers, at once."""
    wrong = [
        f"--{name.replace('_', '-')} {value} must be at least 1"
        for name, value in (
            ("samples", settings.samples), ("max_new_tokens", settings.max_new_tokens),
            ("batch_size", settings.batch_size), ("limit", limit), ("workers", workers),
        )
        if value is not None and value < 1
    ]  # fmt: skip
    if not 0 <= settings.temperature <= 100:
        wrong.append(f"--temperature {settings.temperature} must be 0 (greedy) to 100")
    if not 0 < settings.top_p <= 1:
        wrong.append(f"--top-p {settings.top_p} must be above 0 and at most 1")
    if settings.samples > 1 and settings.temperature == 0:
        wrong.append(f"--samples {settings.samples} would all be the same with --temperature 0; choose 0.2 or 0.8")
    if wrong:
        raise UserError("; ".join(wrong))


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(), TextColumn(""))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bars: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = bar.add_task(what, total=total)
            bar.update(bars[what], completed=done)

        yield advance


humaneval_infilling = functools.partial(evaluate, "humaneval-infilling")
santacoder = functools.partial(evaluate, "santacoder")
safim = functools.partial(evaluate, "safim")
crosscodeeval = functools.partial(evaluate, "crosscodeeval")
fim_eval = functools.partial(evaluate, "fim-eval")
nl2code = functools.partial(evaluate, "nl2code")
