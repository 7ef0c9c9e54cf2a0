"""The page of an evaluation: its table, and the samples that did not do, to browse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aixmeg.eval.benchmark import Benchmark
from aixmeg.eval.table import rows
from aixmeg.eval.task import Task
from aixmeg.report.blocks import details, facts, note, section, table
from aixmeg.report.markup import Html, tag
from aixmeg.report.page import render_sections

_SHOWN = 300
"""Failures on the page; all are in samples.jsonl."""
_AROUND = 1500
"""Characters of prefix and of suffix."""


def render(
    benchmark: Benchmark, summary: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], tasks: Sequence[Task],
    *, written: datetime,
) -> str:  # fmt: skip
    """The whole document."""
    contents = {"results": "Results", "failures": "Failures"}
    parts = [_results(benchmark, summary), _failures(benchmark, samples, tasks)]
    return render_sections(f"{benchmark.name}: {summary['model']}", parts, written=written, contents=contents)


def _results(benchmark: Benchmark, summary: Mapping[str, Any]) -> Html:
    headings = ("Part", "Metric", "%", "95 % interval", "Tasks", "aiXcoder-7B, published")
    settings = [(name.replace("_", " "), str(value)) for name, value in summary["settings"].items()]
    outcomes = [(kind, str(count)) for kind, count in summary["outcomes"].items()]
    return section(
        "results", "Results", table(headings, rows(benchmark, summary), caption="Scores"),
        facts(outcomes) if outcomes else None, details("Settings", facts(settings)),
        lede="Intervals come from resampling tasks; they say nothing about another training run.",
    )  # fmt: skip


def failed(benchmark: Benchmark, sample: Mapping[str, Any]) -> bool:
    """Whether the benchmark's first metric is not full."""
    return sample.get(benchmark.metrics[0]) != 1.0


def _failures(benchmark: Benchmark, samples: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> Html:
    bad = [sample for sample in samples if failed(benchmark, sample)]
    if not bad:
        return section("failures", "Failures", note("None."))
    by_name = {task.name: task for task in tasks}
    kinds = Counter(str(sample.get("outcome", sample["group"])) for sample in bad)
    # Of each kind some, not only of the one that comes first.
    share = max(1, _SHOWN // len(kinds))
    blocks = []
    for kind, count in kinds.most_common():
        some = [sample for sample in bad if str(sample.get("outcome", sample["group"])) == kind][:share]
        cards = [_card(by_name[sample["task"]], sample) for sample in some]
        more = note(f"{count - len(some)} more are in samples.jsonl.") if count > len(some) else None
        blocks.append(tag("div", tag("h3", f"{kind or 'all'}: {count}"), *cards, more))
    return section("failures", "Failures", *blocks, lede=f"{len(bad)} of {len(samples)} samples.")


def _card(task: Task, sample: Mapping[str, Any]) -> Html:
    counted = str(sample.get("counted", sample["text"]))
    code = tag(
        "pre", tag("span", task.prefix[-_AROUND:], class_="around"), tag("mark", counted or "(nothing)"),
        tag("span", (task.suffix or "")[:_AROUND], class_="around"), tabindex="0",
        aria_label="Code with the completion marked",
    )  # fmt: skip
    expected = tag("pre", task.reference or "(not known)", tabindex="0", aria_label="What stood there")
    remark = str(sample.get("detail") or "")
    return details(
        f"{task.name} · sample {sample['sample']}{' · ' + remark if remark else ''}",
        tag("div", code, tag("p", "Reference", class_="label"), expected, class_="card infill"),
    )
