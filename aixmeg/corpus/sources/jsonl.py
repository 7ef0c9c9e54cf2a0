"""JSON lines, plain or compressed. A plain file is divided into ranges of bytes; a row is of the range it begins in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from aixmeg.corpus.sources.columns import Columns, Rows
from aixmeg.corpus.sources.folders import Repository
from aixmeg.corpus.sources.limits import EXPANSION, RANGE_BYTES
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.corpus.sources.streams import Damaged, Stream, compression_of, open_stream

_BLOCK: Final = 1 << 18
_ESCAPED: Final = 6
"""Bytes of JSON that a byte of content may take: \\u0000."""
_OTHER_COLUMNS: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class JsonlPart:
    """The rows of a file that begin between two offsets."""

    kind: ClassVar[str] = "jsonl"
    repository: str
    """For rows that name none."""
    path: str
    start: int
    stop: int
    """-1: to the end of the file."""
    bytes: int
    stamp: str
    files: int = 0

    @property
    def name(self) -> str:
        """What a message calls it."""
        return f"{self.path}, from byte {self.start}" if self.start else self.path

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """See `Part`."""
        rules = reading.rules
        longest = _ESCAPED * rules.max_bytes + _OTHER_COLUMNS
        columns = Columns.of(rules.reading)
        rows = Rows(reading, table=self.path, fallback=self.repository)
        with open_stream(Path(self.path), max_expansion=rules.reading.max_expansion) as stream:
            try:
                for offset, size, line in self._lines(stream, longest):
                    if line is not None and (not line or line.isspace()):
                        continue
                    if reading.take():
                        yield _document(rows, columns, line, size, f"row-{offset:012d}")
            except Damaged as damage:
                if reading.take():
                    yield rows.broken(damage.reason, Path(self.path).name, 0)
        rows.check()

    def _lines(self, stream: Stream, longest: int) -> Iterator[tuple[int, int, bytes | None]]:
        """(offset, length, line) of each row; None in the place of a line that is too long to be held."""
        offset = self.start
        if self.start:
            stream.seek(self.start - 1)
            offset = self.start - 1 + stream.skip_line()
        for line, size in stream.lines(longest):
            if 0 <= self.stop <= offset:
                return
            yield offset, size, line
            offset += size

    def signals(self) -> dict[str, dict[str, float]]:
        """None: stars come with the rows."""
        return {}


def jsonl_parts(repository: Repository, rules: Rules) -> Iterator[JsonlPart]:
    """Ranges of about RANGE_BYTES; a compressed file is one."""
    status = repository.root.stat()
    place: Any = {"repository": repository.name, "path": str(repository.root),
                  "stamp": f"{status.st_size}-{status.st_mtime_ns}"}  # fmt: skip
    if compression_of(repository.root):
        yield JsonlPart(**place, start=0, stop=-1, bytes=status.st_size * EXPANSION)
        return
    for start in range(0, status.st_size, RANGE_BYTES):
        stop = min(start + RANGE_BYTES, status.st_size)
        yield JsonlPart(**place, start=start, stop=stop, bytes=stop - start)


def _document(rows: Rows, columns: Columns, line: bytes | None, size: int, where: str) -> RawDocument:
    if line is None:
        return rows.broken("too_large", where, size)
    try:
        values: Any = json.loads(line.decode())
    except (ValueError, RecursionError):
        return rows.broken("invalid_json", where, size)
    if not isinstance(values, dict):
        return rows.broken("wrong_type", where, size)
    row = {what: values[name] for what, name in columns.among(values).items()}
    return rows.row(row, values, where, size)
