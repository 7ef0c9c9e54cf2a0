"""A file that tells about repositories what the sources do not: JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from aixmeg.errors import UserError

_NAMES: Final = ("repository", "repo_name", "repo", "full_name", "name", "max_stars_repo_name")
"""What the column with the repository may be called."""
_SIGNALS: Final = {
    "stars": ("stargazers_count", "stargazer_count", "star_events_count", "max_stars_count", "watchers_count"),
    "commits": ("commit_count", "commits_count", "num_commits"),
    "test_files": ("num_test_files", "test_file_count"),
}
"""Signal → what else its column may be called."""


def read_metadata(path: Path, wanted: Container[str] | None = None) -> dict[str, dict[str, float]]:
    """Repository → its signals, for the `wanted` repositories. JSON lines and CSV are streamed.

    JSON is `{"owner/name": {"stars": 12, "commits": 340}}`, or a list of records; JSON lines and CSV are records, with
    the repository in a column named repository, repo_name, repo, full_name or name. Columns without a number are passed
    over: an empty cell is a missing signal.

    Raises:
        UserError: missing, of another form, or a number is negative or not finite.
    """
    found: dict[str, dict[str, float]] = {}
    try:
        for where, record in _records(path):
            name = next((record[key] for key in _NAMES if isinstance(record.get(key), str)), None)
            if name is None:
                raise UserError(f"{path}, {where}: no repository; name it in a column called {', '.join(_NAMES)}")
            if wanted is None or name in wanted:
                found[name] = _signals(record, f"{path}, {where}")
    except OSError as error:
        raise UserError(f"cannot read corpus.rank.metadata {path}: {error.strerror}") from error
    except (ValueError, csv.Error, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"corpus.rank.metadata {path} is not valid {path.suffix or 'JSON'}: {error}") from error
    return found


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    kind = path.suffix.lower()
    if kind == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from ((f"row {number}", row) for number, row in enumerate(csv.DictReader(file), 1))
    elif kind in (".jsonl", ".ndjson"):
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _record(json.loads(line), path, f"line {number}")
    else:
        tree = json.loads(path.read_bytes())
        if isinstance(tree, dict):
            tree = [{"repository": name} | value if isinstance(value, dict) else value for name, value in tree.items()]
        if not isinstance(tree, list):
            raise UserError(f"{path} holds {type(tree).__name__}; give an object by repository, or a list of records")
        for number, record in enumerate(tree, 1):
            yield _record(record, path, f"record {number}")


def _record(value: Any, path: Path, where: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(value, dict):
        raise UserError(
            f"{path}, {where}: {value!r:.80} is no record; give an object with repository, stars, commits …"
        )
    return where, value


def _signals(record: Mapping[str, Any], where: str) -> dict[str, float]:
    signals: dict[str, float] = {}
    known = {other: name for name, others in _SIGNALS.items() for other in others}
    for key, value in record.items():
        number = _number(value)
        if number is None or key in _NAMES:
            continue
        if not math.isfinite(number) or number < 0:
            raise UserError(f"{where}: {key}={value} must be zero or more; leave it out where it is not known")
        signals.setdefault(known.get(key, key), number)
    return signals


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) and value.strip() else None
    except ValueError:
        return None
