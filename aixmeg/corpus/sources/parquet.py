"""Parquet files, by row groups; of each, only the columns that are used, a few hundred rows at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from aixmeg.corpus.prose import question_columns
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.columns import Columns, Rows
from aixmeg.corpus.sources.folders import Repository
from aixmeg.corpus.sources.limits import RANGE_BYTES
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.errors import UserError

_ROWS: Final = 256
"""Rows that are decoded at once."""


@dataclass(frozen=True, kw_only=True)
class ParquetPart:
    """Consecutive row groups of a file."""

    kind: ClassVar[str] = "parquet"
    repository: str
    """For rows that name none."""
    path: str
    first: int
    groups: int
    files: int
    """Rows; -1: it is no Parquet file."""
    bytes: int
    row: int
    """Number of the first row."""
    stamp: str

    @property
    def name(self) -> str:
        """What a message calls it."""
        return f"{self.path}, from row group {self.first}" if self.first else self.path

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """See `Part`."""
        rows = Rows(reading, table=self.path, fallback=self.repository)
        try:
            if self.files < 0:
                raise OSError
            with _opened(self.path) as file:
                names = file.schema_arrow.names
                columns = Columns.of(reading.rules.reading).among(names)
                asked = question_columns(names) if rows.prose.enabled else []
                wanted = list(dict.fromkeys([*columns.values(), *asked]))
                groups = range(self.first, self.first + self.groups)
                number = self.row
                for batch in file.iter_batches(_ROWS, row_groups=groups, columns=wanted, use_threads=False):
                    made = _questions if asked else _documents
                    yield from made(batch, columns, rows, reading, number)
                    number += batch.num_rows
        except (OSError, ValueError):  # ArrowInvalid is a ValueError
            if reading.take():
                yield rows.broken("damaged_archive", Path(self.path).name, 0)
        rows.check()

    def signals(self) -> dict[str, dict[str, float]]:
        """None: stars come with the rows."""
        return {}


def parquet_parts(repository: Repository, rules: Rules) -> Iterator[ParquetPart]:
    """Row groups, small ones together up to about RANGE_BYTES.

    Raises:
        UserError: no column holds text.
    """
    status = repository.root.stat()
    place: Any = {"repository": repository.name, "path": str(repository.root),
                  "stamp": f"{status.st_size}-{status.st_mtime_ns}"}  # fmt: skip
    try:
        with _opened(str(repository.root)) as file:
            names, meta = file.schema_arrow.names, file.metadata
            sizes = [(meta.row_group(one).num_rows, meta.row_group(one).total_byte_size)
                     for one in range(meta.num_row_groups)]  # fmt: skip
    except (OSError, ValueError):
        yield ParquetPart(**place, first=0, groups=0, files=-1, bytes=0, row=0)
        return
    columns = Columns.of(rules.reading)
    if "content" not in columns.among(names) and not (rules.prose.enabled and question_columns(names)):
        raise UserError(f"{repository.root} has no column {' or '.join(columns.names['content'])}; its columns are "
                        f"{', '.join(names)}; name the one with the text by corpus.reading.content_column")  # fmt: skip
    first = groups = files = size = row = 0
    for number, here in sizes:
        if groups and size + here > RANGE_BYTES:
            yield ParquetPart(**place, first=first, groups=groups, files=files, bytes=size, row=row)
            first, row, groups, files, size = first + groups, row + files, 0, 0, 0
        groups, files, size = groups + 1, files + number, size + here
    yield ParquetPart(**place, first=first, groups=groups, files=files, bytes=size, row=row)


def _opened(path: str) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError("reading .parquet needs the package pyarrow; install aixmeg[corpus]") from None
    return ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)


def _documents(batch: Any, columns: dict[str, str], rows: Rows, reading: Reading, number: int) -> Iterator[RawDocument]:
    texts = _Texts(batch.column(columns["content"]))
    others = {what: batch.column(name).to_pylist() for what, name in columns.items() if what != "content"}
    for index in range(batch.num_rows):
        if not reading.take():
            continue
        where = f"row-{number + index:012d}"
        size = texts.size(index)
        if size is None:
            yield rows.broken(texts.fault, where, 0)
            continue
        row = {what: values[index] for what, values in others.items()}
        yield rows.document(row, functools.partial(texts.read, index), size, where)


def _questions(batch: Any, columns: dict[str, str], rows: Rows, reading: Reading, number: int) -> Iterator[RawDocument]:
    """Rows of a table of questions, which are few and small; one without a list of answers is like any other row."""
    for index, values in enumerate(batch.to_pylist()):
        if reading.take():
            row = {what: values[name] for what, name in columns.items()}
            yield rows.row(row, values, f"row-{number + index:012d}")


class _Texts:
    """A column of strings as bytes, each copied once and only if it is read."""

    def __init__(self, column: Any) -> None:
        import pyarrow as pa

        self._column, self.fault = None, "wrong_type"
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
        if any(test(column.type) for test in text):
            self.fault = "missing_column"
            wide = pa.large_binary()
            self._column = (
                column.cast(pa.large_string()).view(wide) if "string" in str(column.type) else column.cast(wide)
            )
            _, offsets, data = self._column.buffers()
            start, end = self._column.offset, self._column.offset + len(self._column) + 1
            self._offsets = memoryview(offsets).cast("q")[start:end].tolist()
            self._data = memoryview(data) if data is not None else memoryview(b"")
            self._null = self._column.is_null().to_pylist() if self._column.null_count else None

    def size(self, index: int) -> int | None:
        """Bytes of a row's text; None if there is none."""
        if self._column is None or (self._null is not None and self._null[index]):
            return None
        return self._offsets[index + 1] - self._offsets[index]

    def read(self, index: int) -> bytes:
        """A row's text."""
        if self._column is None:
            raise Dropped("wrong_type")
        return bytes(self._data[self._offsets[index] : self._offsets[index + 1]])
