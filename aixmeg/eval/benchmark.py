"""What a benchmark consists of: one file of benchmarks/ makes one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aixmeg.eval.sandbox import Limits, Sandbox
from aixmeg.eval.task import Task

Scores = dict[str, Any]
"""Metric → value from 0 to 1; `outcome` and `detail` are texts."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Reading tasks, cutting what a model wrote, scoring it."""

    name: str
    """As in `aixmeg eval NAME`."""
    help: str
    read: Callable[[Path], list[Task]]
    """Tasks of a file or folder; UserError names line and field."""
    score: Callable[[Task, str, Sandbox], Scores]
    metrics: tuple[str, ...]
    """In the order of the table. `pass` is reported as pass@k."""
    cut: Callable[[Task, str], str] = lambda task, text: text
    """What counts of a completion."""
    max_new_tokens: int = 256
    executes: bool = False
    """Whether scoring runs what the model wrote."""
    limits: Limits = field(default_factory=Limits)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Group (or "") → metric → percent of aiXcoder-7B-Base (arXiv 2410.13187 and the model's README)."""


def first_line(task: Task, text: str) -> str:
    """Up to the first line end behind something that is no blank."""
    stripped = text.lstrip("\n\r")
    return stripped.split("\n", 1)[0].rstrip("\r")
