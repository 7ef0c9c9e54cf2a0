"""CrossCodeEval: the rest of a statement that needs other files of its repository (Ding et al., arXiv 2310.11248).

Records: `prompt`, `groundtruth`, `right_context`, `metadata.task_id`; sets with retrieved text have it in
`crossfile_context.text`, which goes in front of the prefix. Its scorer strips comments, compares lines, and compares
names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError
from aixmeg.eval.benchmark import Benchmark, Scores, first_line
from aixmeg.eval.sandbox import Sandbox
from aixmeg.eval.scores import edit_similarity, identifiers, lines_match
from aixmeg.eval.task import Record, Task, read_records

_BY_ENDING: Final = {"py": "python", "java": "java", "ts": "typescript", "cs": "c#"}
_NAMES: Final = {"python": "python", "java": "java", "typescript": "typescript", "csharp": "c#"}
_COMMENT: Final = re.compile(r"#.*|//.*")
"""Of both kinds in every language, as the published scorer strips them."""


def read(path: Path) -> list[Task]:
    """Tasks with the context that their file has; the group is the language."""
    tasks = []
    for record in read_records(path):
        metadata = record.record("metadata")
        language = _language(record, metadata, path)
        retrieved = ""
        if record.value("crossfile_context") is not None:
            context = record.value("crossfile_context")
            retrieved = context if isinstance(context, str) else record.record("crossfile_context").text("text")
        tasks.append(
            Task(
                name=metadata.text("task_id"), prefix=retrieved + record.text("prompt"),
                suffix=record.text("right_context", default=""), reference=record.text("groundtruth"),
                language=language, group=language,
            )
        )  # fmt: skip
    return tasks


def _language(record: Record, metadata: Record, path: Path) -> str:
    """The published records do not name it: the folder or the file that a task is from does."""
    ending = metadata.text("file", default="").rpartition(".")[2]
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    for part in reversed(path.resolve().parts):
        if part in _NAMES:
            return _NAMES[part]
    raise UserError(
        f"{record.where}: its language is told neither by metadata.file nor by a folder named {', '.join(_NAMES)}"
    )


def score(task: Task, completion: str, sandbox: Sandbox) -> Scores:
    """Lines, characters and names, without comments."""
    ours, theirs = (_COMMENT.sub("", text) for text in (completion, task.reference))
    names = identifiers(ours, theirs, task.language)
    return {
        "exact_match": float(lines_match(ours, theirs)), "edit_similarity": edit_similarity(ours, theirs),
        "identifier_match": float(names.exact), "identifier_f1": names.f1,
    }  # fmt: skip


def cut(task: Task, text: str) -> str:
    """As many lines as the reference has, which is one statement; the published scorer cuts by parsing."""
    lines = task.reference.strip("\n").count("\n") + 1
    return first_line(task, text) if lines == 1 else "\n".join(text.lstrip("\n").split("\n")[:lines])


CROSSCODEEVAL: Final = Benchmark(
    name="crosscodeeval",
    help="statements that need other files of their repository: exact match, edit similarity, names",
    read=read,
    score=score,
    metrics=("exact_match", "edit_similarity", "identifier_match", "identifier_f1"),
    cut=cut,
    max_new_tokens=64,
    published={  # without retrieved text
        "python": {"exact_match": 30.0, "edit_similarity": 70.8},
        "java": {"exact_match": 34.9, "edit_similarity": 77.8},
        "typescript": {"exact_match": 35.3, "edit_similarity": 79.6},
        "c#": {"exact_match": 49.9, "edit_similarity": 86.4},
    },
)
