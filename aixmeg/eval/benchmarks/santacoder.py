"""Single lines of HumanEval in Python, Java and JavaScript, by exact match (SantaCoder, arXiv 2301.03988).

Records as in the published set: `prompt`, `suffix`, `canonical_solution`, `language` (py, java, js) and a name, which
is `name` or `task_id`. What counts of a completion is its first line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aixmeg.errors import UserError
from aixmeg.eval.benchmark import Benchmark, Scores, first_line
from aixmeg.eval.sandbox import Sandbox
from aixmeg.eval.scores import edit_similarity, exact_match
from aixmeg.eval.task import Task, read_records

_LANGUAGES: Final = {"py": "python", "python": "python", "java": "java", "js": "javascript", "javascript": "javascript"}


def read(path: Path) -> list[Task]:
    """Tasks; the group is the language."""
    tasks: list[Task] = []
    for record in read_records(path):
        named = record.text("language")
        if named.lower() not in _LANGUAGES:
            raise UserError(f"{record.where}, field 'language': {named!r} is none of {', '.join(_LANGUAGES)}")
        language = _LANGUAGES[named.lower()]
        tasks.append(
            Task(
                # one program has many gaps, which the published records do not tell apart
                name=f"{record.text('task_id', 'name')}#{len(tasks)}", prefix=record.text("prompt"),
                suffix=record.text("suffix"), reference=record.text("canonical_solution"), language=language,
                group=language,
            )
        )  # fmt: skip
    return tasks


def score(task: Task, completion: str, sandbox: Sandbox) -> Scores:
    """Compare with the line that was there."""
    return {
        "exact_match": float(exact_match(completion, task.reference)),
        "edit_similarity": edit_similarity(completion, task.reference),
    }


SANTACODER: Final = Benchmark(
    name="santacoder",
    help="single lines of HumanEval in Python, Java and JavaScript, by exact match",
    read=read,
    score=score,
    metrics=("exact_match", "edit_similarity"),
    cut=first_line,
    max_new_tokens=64,
    published={
        "python": {"exact_match": 73.3},
        "javascript": {"exact_match": 81.7},
        "java": {"exact_match": 83.0},
        "": {"exact_match": 79.3},
    },
)
