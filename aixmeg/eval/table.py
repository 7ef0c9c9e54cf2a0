"""The table of an evaluation, beside what was published of aiXcoder-7B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from aixmeg.eval.benchmark import Benchmark


def rows(benchmark: Benchmark, summary: Mapping[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """(group, metric, percent, interval, tasks, published)."""
    found = []
    for group, metrics in summary["metrics"].items():
        for metric, value in metrics.items():
            known = benchmark.published.get(group, {}).get(metric)
            found.append(
                (
                    group or "all", metric.replace("_", " "), f"{100 * value['mean']:.1f}",
                    f"{100 * value['low']:.1f} – {100 * value['high']:.1f}", str(value["tasks"]),
                    "" if known is None else f"{known:.1f}",
                )
            )  # fmt: skip
    return found


def print_table(benchmark: Benchmark, summary: Mapping[str, Any]) -> None:
    """Print to the terminal."""
    table = Table(title=f"{benchmark.name}: {summary['model']}")
    for name in ("", "metric", "%", "95 % interval", "tasks", "aiXcoder-7B, published"):
        table.add_column(name, justify="left" if name in ("", "metric") else "right")
    for row in rows(benchmark, summary):
        table.add_row(*row)
    console = Console()
    console.print(table)
    if summary["outcomes"]:
        console.print("programs: " + ", ".join(f"{count} {kind}" for kind, count in summary["outcomes"].items()))
    if summary["shortened_prompts"]:
        console.print(f"{summary['shortened_prompts']} prompts were longer than the model's context and shortened")
