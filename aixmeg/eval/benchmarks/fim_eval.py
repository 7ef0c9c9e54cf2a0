"""FIM-Eval: thirteen kinds of gaps in Java, C++, JavaScript and Python files (aiXcoder-7B's own set).

Records: `task_id`, `task_type`, `pre_mask_code`, `post_mask_code`, `canonical_solution`. The language is the record's
`language`, or in the name of the file or its folder. `aixmeg eval make` writes such records, in more languages too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError
from aixmeg.eval.benchmark import Benchmark, Scores
from aixmeg.eval.sandbox import Sandbox
from aixmeg.eval.scores import code_bleu, edit_similarity, exact_match, sentence_bleu
from aixmeg.eval.task import Record, Task, read_records
from aixmeg.languages import LANGUAGES, canonical

_NAMES: Final = {
    "python": "python", "java": "java", "javascript": "javascript", "js": "javascript", "cpp": "c++", "c++": "c++",
}  # fmt: skip
LANGUAGES_OF_FIM_EVAL: Final = ("java", "c++", "javascript", "python")


def read(path: Path) -> list[Task]:
    """Tasks; the group is language/type."""
    tasks = []
    for record in read_records(path):
        language = _language(record)
        tasks.append(
            Task(
                name=f"{language}/{record.text('task_id')}", prefix=record.text("pre_mask_code"),
                suffix=record.text("post_mask_code"), reference=record.text("canonical_solution"), language=language,
                group=f"{language}/{record.text('task_type')}",
            )
        )  # fmt: skip
    return tasks


def _language(record: Record) -> str:
    named = record.text("language", default="").lower()
    if named in LANGUAGES:
        return canonical(named).name
    file = Path(record.where.rpartition(", line ")[0])
    words = [named] if named else [*re.split(r"[^a-z+]+", file.name.lower()), file.parent.name]
    for word in words:
        if word in _NAMES:
            return _NAMES[word]
    raise UserError(f"{record.where}: neither a field 'language' nor the file's name says one of {', '.join(_NAMES)}")


def score(task: Task, completion: str, sandbox: Sandbox) -> Scores:
    """Exact match, BLEU-4 over words, CodeBLEU, edit similarity; no BLEU where nothing is to be written."""
    words = task.reference.split()
    code = code_bleu(completion, task.reference, task.language)
    return {
        "exact_match": float(exact_match(completion, task.reference)),
        "bleu_4": sentence_bleu(completion.split(), words) if words else None,
        "codebleu": None if code is None else code.score,
        "edit_similarity": edit_similarity(completion, task.reference),
    }


FIM_EVAL: Final = Benchmark(
    name="fim-eval",
    help="thirteen kinds of gaps in Java, C++, JavaScript and Python: exact match, BLEU-4, CodeBLEU",
    read=read,
    score=score,
    metrics=("exact_match", "bleu_4", "codebleu", "edit_similarity"),
    published={
        "java": {"exact_match": 49.4, "bleu_4": 70.6, "codebleu": 74.0},
        "c++": {"exact_match": 37.3, "bleu_4": 60.3, "codebleu": 67.4},
        "javascript": {"exact_match": 36.5, "bleu_4": 58.0, "codebleu": 64.3},
        "python": {"exact_match": 35.0, "bleu_4": 56.1, "codebleu": 63.0},
    },
)
