"""Tasks: what a benchmark asks, as records of JSON lines whose fields are checked."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.eval.hub import HubName, hub_rows


@dataclass(frozen=True, kw_only=True)
class Task:
    """One gap to fill."""

    name: str
    """Unique in its benchmark."""
    prefix: str
    suffix: str | None
    """None asks for a continuation, left to right."""
    reference: str
    """What stood in the gap; empty where a benchmark has none."""
    language: str
    """Name in `aixmeg.languages`."""
    group: str = ""
    """Part of the benchmark that is reported by itself: a shape, a language."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What its scorer needs besides."""


class Record:
    """A line of a file; its getters name file, line and field in their complaints."""

    def __init__(self, where: str, values: dict[str, Any]) -> None:
        self.where, self.values = where, values

    def text(self, *names: str, default: str | None = None) -> str:
        """The string in the first of the fields that exists.

        Raises:
            UserError: none exists and there is no default, or it holds no string.
        """
        for name in names:
            if name in self.values:
                value = self.values[name]
                if not isinstance(value, str):
                    raise UserError(f"{self.where}, field {name!r}: {_shown(value)} is not a string")
                try:
                    value.encode()
                except UnicodeEncodeError as error:
                    raise UserError(f"{self.where}, field {name!r}: holds half a character ({error.reason})") from error
                return value
        if default is not None:
            return default
        raise UserError(
            f"{self.where}: no field {' or '.join(map(repr, names))}; it has {', '.join(sorted(self.values)) or 'none'}"
        )

    def texts(self, name: str) -> list[str]:
        """A list of strings.

        Raises:
            UserError: missing, or no such list.
        """
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise UserError(f"{self.where}, field {name!r}: {_shown(value)} is not a list of strings")
        return value

    def value(self, name: str) -> Any:
        """Any value; None when it is missing."""
        return self.values.get(name)

    def record(self, name: str) -> Record:
        """An object in a field.

        Raises:
            UserError: missing, or no object.
        """
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise UserError(f"{self.where}, field {name!r}: {_shown(value)} is not an object")
        return Record(f"{self.where}, field {name!r}", value)


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:60]


def read_records(path: Path) -> Iterator[Record]:
    """The records of a `.jsonl` or `.jsonl.gz` file, of all such files of a folder in the order of their names, or of
    what `hf:NAME` names.

    Raises:
        UserError: missing, unreadable, no UTF-8, no JSON, or no records at all.
    """
    if named := HubName.of(path):
        yield from (Record(f"{path}, line {number}", row) for number, row in enumerate(hub_rows(named), 1))
        return
    files = sorted(file for file in path.iterdir() if ".jsonl" in file.suffixes) if path.is_dir() else [path]
    count = 0
    for file in files:
        number = 0
        try:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        count += 1
                        yield Record(f"{file}, line {number}", _object(file, number, line))
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                f"cannot read {file}, line {number + 1}: {error}; it must be .jsonl or .jsonl.gz"
            ) from error
    if not count:
        raise UserError(f"{path} holds no records; give a .jsonl or .jsonl.gz file, or a folder of them")


def _object(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{file}, line {number}: byte {error.start} is not UTF-8 ({error.reason})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}, line {number}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{file}, line {number}: {_shown(value)} is not an object; give one record per line")
    return value


def digest(path: Path) -> str:
    """SHA-256 of a benchmark's bytes, of a folder's files together, of the rows that `hf:NAME` names."""
    found = hashlib.sha256()
    if named := HubName.of(path):
        for row in hub_rows(named):
            found.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        return found.hexdigest()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
