"""Files of an evaluation that only grow: whole lines are added at once, and a line that a kill cut off is dropped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.files import read_json, write_error, write_json


class Lines:
    """A JSON-lines file that is read once and then added to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        """In the file's order."""
        content = path.read_bytes() if path.exists() else b""
        self._ends = [0]
        for line in content.split(b"\n")[:-1]:
            try:
                self.records.append(json.loads(line))
            except ValueError:
                break  # what a kill or a full disk left
            self._ends.append(self._ends[-1] + len(line) + 1)
        self.cut(len(self.records))

    def cut(self, count: int) -> None:
        """Keep the first `count` records."""
        del self.records[count:]
        del self._ends[count + 1 :]
        if self.path.exists() and self.path.stat().st_size > self._ends[-1]:
            os.truncate(self.path, self._ends[-1])

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append in one write, and wait until the disk has it.

        Raises:
            UserError: the disk refused; what was there stays.
        """
        lines = [json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for record in records]
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error
        for record, line in zip(records, lines, strict=True):
            self.records.append(dict(record))
            self._ends.append(self._ends[-1] + len(line))


def same_run(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note the settings of a new evaluation; compare them with those of one that is gone on with.

    Raises:
        UserError: the folder holds an evaluation with other settings.
    """
    file = folder / "settings.json"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps(settings))
    if not file.exists():
        write_json(file, wanted)
        return
    found = read_json(file)
    changed = [f"{key} was {found.get(key)!r}, is now {wanted.get(key)!r}" for key in sorted({*found, *wanted})
               if found.get(key) != wanted.get(key)]  # fmt: skip
    if changed:
        raise UserError(f"{folder} holds another evaluation: {'; '.join(changed)}; choose another --out, or delete it")
