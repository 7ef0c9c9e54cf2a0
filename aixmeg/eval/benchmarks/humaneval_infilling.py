"""HumanEval-infilling: single lines, several lines or random spans of HumanEval's solutions, judged by its tests.

Source: Bavarian et al., arXiv 2207.14255; github.com/openai/human-eval-infilling. A program is prompt, completion,
suffix, a line end, the tests, a line end and `check(entry_point)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aixmeg.errors import UserError
from aixmeg.eval.benchmark import Benchmark, Scores
from aixmeg.eval.sandbox import Sandbox
from aixmeg.eval.scores import exact_match
from aixmeg.eval.task import Task, read_records


def read(path: Path) -> list[Task]:
    """Tasks; the group is the set's name, the first part of `task_id`."""
    tasks = []
    for record in read_records(path):
        entry = record.text("entry_point")
        if not entry.isidentifier():
            raise UserError(f"{record.where}, field 'entry_point': {entry!r} is not the name of a function")
        tasks.append(
            Task(
                name=record.text("task_id"), prefix=record.text("prompt"), suffix=record.text("suffix"),
                reference=record.text("canonical_solution"), language="python",
                group=record.text("task_id").split("/")[0], data={"test": record.text("test"), "entry_point": entry},
            )
        )  # fmt: skip
    return tasks


def program(task: Task, completion: str) -> str:
    """What is executed."""
    body = f"{task.prefix}{completion}{task.suffix}"
    return f"{body}\n{task.data['test']}\ncheck({task.data['entry_point']})"


def score(task: Task, completion: str, sandbox: Sandbox) -> Scores:
    """Run the tests."""
    outcome = sandbox.run_python(program(task, completion))
    return {
        "pass": float(outcome.passed), "exact_match": float(exact_match(completion, task.reference)),
        "outcome": outcome.kind, "detail": outcome.detail,
    }  # fmt: skip


HUMANEVAL_INFILLING: Final = Benchmark(
    name="humaneval-infilling",
    help="fill gaps in HumanEval's solutions; their tests judge (single-line, multi-line, random-span, light)",
    read=read,
    score=score,
    metrics=("pass", "exact_match"),
    executes=True,
)
