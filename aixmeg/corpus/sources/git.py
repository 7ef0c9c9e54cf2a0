"""Bare git repositories: the files of one commit, streamed out of `git cat-file --batch` without a checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import IO, ClassVar, Final

from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.folders import Repository
from aixmeg.corpus.sources.git_commands import commit_count, commit_of, git_command, git_environment, no_git
from aixmeg.corpus.sources.limits import RANGE_BYTES, RANGE_FILES
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import STILL_READ, Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.languages import candidates

_AHEAD: Final = 256
"""Objects asked for at once. Their names, 66 bytes at most, fit into any pipe, so that neither side waits for ever."""
_NO_FILES: Final = {b"120000": "symlink", b"160000": "submodule"}
"""By mode."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class GitPart:
    """Consecutive files of a commit."""

    kind: ClassVar[str] = "git"
    repository: str
    git_dir: str
    commit: str
    """Object name; empty if the repository has no such commit."""
    ref: str
    first: int
    """Position of the first file in `git ls-tree -r`."""
    files: int
    bytes: int

    @property
    def name(self) -> str:
        """What a message calls it."""
        return f"{self.repository}, from file {self.first}" if self.first else self.repository

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """See `Part`."""
        if not self.commit:
            if reading.take():
                yield reading.dropped(self.repository, self.ref, 0, "no_commit")
            return
        with _Git(self.git_dir, "ls-tree", "-r", "-z", "--full-tree", self.commit) as listing, \
                _Git(self.git_dir, "cat-file", "--batch") as objects:  # fmt: skip
            entries = islice(listing.records(), self.first, self.first + self.files)
            while batch := list(islice(entries, _AHEAD)):
                yield from self._batch(batch, objects, reading)

    def _batch(self, batch: list[bytes], objects: _Git, reading: Reading) -> Iterator[RawDocument]:
        rows = [(*_entry(record, reading.rules), reading.take(), reading.index) for record in batch]
        objects.ask(name for name, _, reason, taken, _ in rows if taken and reason is None)
        last = reading.index
        for _, path, reason, taken, index in rows:
            if not taken:
                continue
            reading.index = index
            if reason is None:
                yield self._blob(path, objects, reading)
            else:
                yield reading.dropped(self.repository, path, 0, reason)
        reading.index = last

    def _blob(self, path: str, objects: _Git, reading: Reading) -> RawDocument:
        size = objects.size()
        if size is None:
            return reading.dropped(self.repository, path, 0, "unreadable")
        body = _Body(objects, size)
        try:
            return reading.document(self.repository, path, size, body.read)
        finally:
            body.skip()

    def signals(self) -> dict[str, dict[str, float]]:
        """The number of commits."""
        commits = commit_count(self.git_dir, self.commit) if self.commit and not self.first else None
        return {} if commits is None else {self.repository: {"commits": commits}}


def git_parts(repository: Repository, rules: Rules) -> Iterator[GitPart]:
    """The files of the configured ref, in ranges of about RANGE_BYTES."""
    git_dir, ref = str(repository.root), rules.reading.git_ref
    commit = commit_of(git_dir, ref) or ""
    place = {"repository": repository.name, "git_dir": git_dir, "commit": commit, "ref": ref}
    first = files = size = 0
    if commit:
        with _Git(git_dir, "ls-tree", "-r", "-z", "-l", "--full-tree", commit) as listing:
            for record in listing.records():
                meta, _, path = record.partition(b"\t")
                length = meta.rpartition(b" ")[2]
                here = int(length) if length.isdigit() else 0
                if here > rules.max_bytes or not candidates(path.decode(errors="surrogateescape")):
                    here = 0
                if files and (files >= RANGE_FILES or size + here > RANGE_BYTES):
                    yield GitPart(**place, first=first, files=files, bytes=size)
                    first, files, size = first + files, 0, 0
                files, size = files + 1, size + here
    yield GitPart(**place, first=first, files=files, bytes=size)


def _entry(record: bytes, rules: Rules) -> tuple[bytes, str, str | None]:
    """Object name, path and reason not to read it, of a line of `ls-tree`."""
    meta, _, path = record.partition(b"\t")
    mode, _, name = meta.split(b" ")
    shown = path.decode(errors="surrogateescape")
    return name, shown, _NO_FILES[mode] if mode in _NO_FILES else _dropped(shown, rules)


def _dropped(path: str, rules: Rules) -> str | None:
    """Why the name alone drops a file; None if it is to be read."""
    try:
        rules.by_name(path)
    except Dropped as drop:
        if drop.reason not in STILL_READ or not rules.reads_also(path, 0):
            return drop.reason
    return None


class _Body:
    """One blob in the stream: read whole, or skipped."""

    def __init__(self, objects: _Git, size: int) -> None:
        self._objects, self._left = objects, size

    def read(self) -> bytes:
        content = self._objects.out.read(self._left)
        if len(content) != self._left:
            raise Dropped("unreadable")
        self._left = 0
        return content

    def skip(self) -> None:
        while self._left:
            got = len(self._objects.out.read(min(self._left, _CHUNK)))
            if not got:
                return
            self._left -= got
        self._objects.out.read(1)  # the newline behind each object


class _Git:
    """A running git command."""

    def __init__(self, git_dir: str, *arguments: str) -> None:
        try:
            self._process = subprocess.Popen(
                git_command(git_dir, *arguments), env=git_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, bufsize=_CHUNK,
            )  # fmt: skip
        except FileNotFoundError:
            raise no_git() from None
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self.out: IO[bytes] = self._process.stdout

    def records(self) -> Iterator[bytes]:
        """Output up to each NUL byte."""
        rest = b""
        while chunk := self.out.read1(1 << 16):  # pyright: ignore[reportAttributeAccessIssue]
            *whole, rest = (rest + chunk).split(b"\0")
            yield from whole

    def ask(self, names: Iterable[bytes]) -> None:
        """Ask `cat-file --batch` for objects."""
        with suppress(BrokenPipeError):  # it ended: every answer will be missing
            self._in.write(b"".join(name + b"\n" for name in names))
            self._in.flush()

    def size(self) -> int | None:
        """Read the line before an object: its size, or None if it is missing."""
        header = self.out.readline().split()
        return int(header[2]) if len(header) == 3 and header[1] == b"blob" else None

    def __enter__(self) -> _Git:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # the rest of its answer is of no interest
        for stream in (self._in, self.out):
            with suppress(BrokenPipeError):
                stream.close()
        self._process.wait()
