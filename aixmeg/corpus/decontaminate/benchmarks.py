"""Evaluation sets as JSON lines: HumanEval, its infilling variants, MBPP, MultiPL-E, CrossCodeEval, FIM-Eval …"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aixmeg.config.corpus import DecontaminateConfig
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES

_NAME_FIELDS: Final = ("task_id", "id", "name", "question_id")
_LANGUAGE_FIELDS: Final = ("language", "lang", "programming_language")
_ALIASES: Final = {"py": "python", "js": "javascript", "ts": "typescript", "cs": "c#", "rb": "ruby", "rs": "rust"}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One record of a benchmark."""

    name: str
    """File and record: `mbpp.jsonl: 11`."""
    language: str
    """Key of `LANGUAGES`: what its comments look like."""
    texts: tuple[str, ...]
    """Each solution by itself, and in its program where the record has one."""


def read_items(path: Path, config: DecontaminateConfig) -> Iterator[Item]:
    """Yield the records of a file.

    Raises:
        UserError: it is unreadable, not JSON lines, or no record has a solution.
    """
    found = False
    by_file = _language_in(path.name)
    for number, record in _records(path):
        solutions = [text for field in config.solution_fields for text in _strings(record.get(field))]
        before = next((text for field in config.before_fields for text in _strings(record.get(field))), "")
        after = next((text for field in config.after_fields for text in _strings(record.get(field))), "")
        programs = [before + text + after for text in solutions] if before or after else []
        if not solutions:
            programs = [before + after]  # MultiPL-E has prompts alone
        texts = tuple(dict.fromkeys(text for text in (*solutions, *programs) if text.strip()))
        if not texts:
            continue
        found = True
        name = next((str(record[field]) for field in _NAME_FIELDS if field in record), f"line {number}")
        named = next((str(record[field]) for field in _LANGUAGE_FIELDS if field in record), "")
        language = _language_in(named) or by_file or _language_in(name) or "python"
        yield Item(name=f"{path.name}: {name}", language=language, texts=texts)
    if not found:
        fields = ", ".join((*config.solution_fields, *config.before_fields, *config.after_fields))
        raise UserError(
            f"{path}: no record has text in any of the fields {fields}; name its fields in "
            "corpus.decontaminate.solution_fields"
        )


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise UserError(f"{path}, line {number}: not an object; give one record per line")
                yield number, record
    except UserError:
        raise
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(
            f"cannot read the benchmark {path}, line {number + 1}: {error}; it must be JSON lines, one record per line"
        ) from error


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for text in value if isinstance(text, str))


def _language_in(name: str) -> str | None:
    """The first word of a name that is a language: `humaneval-java.jsonl`, `C++`."""
    for word in (name.lower(), *re.split(r"[^a-z+#]+", name.lower())):
        language = _ALIASES.get(word, word)
        if language in LANGUAGES:
            return language
    return None
