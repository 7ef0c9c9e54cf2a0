"""Dividing a stream of files into shards of about equal size."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from aixmeg.corpus.select import Readable
from aixmeg.files import atomic_write

SHARD_BYTES: Final = 16 << 20
"""Source bytes of a shard: a second or two of parsing, and what a worker may hold."""
SHARD_FILES: Final = 4096


class Shards:
    """Writes records to `path(0)`, `path(1)` …, beginning the next when one is full: `with Shards(path) as shards`."""

    def __init__(self, path: Callable[[int], Path]) -> None:
        self._path = path
        self._stack = ExitStack()
        self._out: IO[bytes] | None = None
        self._files_here = self._bytes_here = 0
        self.count = self.files = self.bytes = 0

    def add(self, record: dict[str, Any], size: int) -> None:
        """Append a record that stands for `size` bytes of source."""
        if self._out is None or self._files_here >= SHARD_FILES or self._bytes_here + size > SHARD_BYTES:
            self.next()
        assert self._out is not None
        self._out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._files_here += 1
        self._bytes_here += size
        self.files += 1
        self.bytes += size

    def room_for(self, size: int) -> None:
        """Begin a new shard if `size` more bytes do not fit into this one but would fit into the next."""
        if self._bytes_here and self._bytes_here + size > SHARD_BYTES >= size:
            self.next()

    def next(self) -> None:
        """Begin a new shard."""
        self._stack.close()
        self._files_here = self._bytes_here = 0
        self._out = self._stack.enter_context(atomic_write(self._path(self.count), "wb"))
        self.count += 1

    def __enter__(self) -> Shards:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)  # the shard at hand is completed, or removed if there is an error


def whole_repositories(files: Iterable[Readable]) -> Iterator[list[Readable]]:
    """The files of each repository."""
    for _, group in itertools.groupby(files, key=lambda file: file.repository):
        yield list(group)
