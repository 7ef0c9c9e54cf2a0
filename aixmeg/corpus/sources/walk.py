"""Folders: files in the order of their whole paths, found and read without following a link."""

from __future__ import annotations

import functools
import hashlib
import operator
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.folders import GENERATED, Repository
from aixmeg.corpus.sources.git_commands import commit_count, is_folder
from aixmeg.corpus.sources.limits import RANGE_BYTES, RANGE_FILES
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.languages import candidates

_ENVIRONMENT_MARK: Final = "pyvenv.cfg"
# The walk saw a regular file; should a link or pipe stand there by now, it is neither followed nor waited for.
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True)
class FolderPart:
    """The files of one folder from one path to another."""

    kind: ClassVar[str] = "folder"
    repository: str
    root: str
    files: int
    bytes: int
    stamp: str
    """Digest of paths, sizes and times, to notice that the sources changed between two runs of one job."""
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    start: str = ""
    """First path."""
    stop: str = ""
    """First path that is not in it any more; empty means none."""

    @property
    def name(self) -> str:
        """What a message calls it."""
        return f"{self.repository}/{self.start}" if self.start else self.repository

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """See `Part`."""
        for path, entry in _files(self, reading.rules.output, reading.skipped):
            if not reading.take():
                continue
            size = 0
            try:
                status = None if entry.is_symlink() else entry.stat(follow_symlinks=False)
                if status is None or not stat.S_ISREG(status.st_mode):
                    yield reading.dropped(self.repository, path, 0, "symlink" if status is None else "not_a_file")
                    continue
                size = status.st_size
            except OSError:  # it disappeared, or the folder may be listed and not entered
                yield reading.dropped(self.repository, path, size, "unreadable")
                continue
            script = "." not in entry.name and not reading.rules.reads_also(path, size)
            read = functools.partial(read_file, entry.path, size, script=script)
            yield reading.document(self.repository, path, size, read)

    def signals(self) -> dict[str, dict[str, float]]:
        """The commits of a git work tree."""
        if self.start or self.only is not None or not is_folder(git := Path(self.root, ".git")) or git.is_symlink():
            return {}
        commits = commit_count(git, "HEAD")
        return {} if commits is None else {self.repository: {"commits": commits}}


def folder_parts(repository: Repository, rules: Rules) -> Iterator[FolderPart]:
    """The files of a repository in ranges of about RANGE_BYTES; holds one range's numbers in memory."""
    whole = FolderPart(
        repository=repository.name, root=str(repository.root), files=0, bytes=0, stamp="", only=repository.only,
        without=tuple(str(folder) for folder in repository.without),
    )  # fmt: skip
    digest, files, size, start = hashlib.sha256(), 0, 0, ""
    skipped: Counter[str] = Counter()

    def part(stop: str) -> FolderPart:
        return FolderPart(**vars(whole) | {"files": files, "bytes": size, "stamp": digest.hexdigest()[:32],
                                           "start": start, "stop": stop})  # fmt: skip

    for path, entry in _files(whole, rules.output, skipped):
        here = found = modified = 0
        try:
            if not entry.is_symlink():
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found, modified = status.st_size, status.st_mtime_ns
        except OSError:
            pass
        if found <= rules.max_bytes and candidates(path):
            here = found
        # A range begins at a path that JSON can hold.
        if files and (files >= RANGE_FILES or size + here > RANGE_BYTES) and path.isprintable():
            yield part(path)
            digest, files, size, start = hashlib.sha256(), 0, 0, path
        digest.update(os.fsencode(f"{path}\0{found}\0{modified}\0"))
        files, size = files + 1, size + here
    if files or skipped or start:
        yield part("")


def read_file(path: str, size: int, *, script: bool = False) -> bytes:
    """The file's bytes. With `script`, one that does not begin with `#!` is not read any further.

    Raises:
        Dropped: it cannot be read, or it is no longer the regular file of `size` bytes that the walk found.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        raise Dropped("unreadable") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise Dropped("changed")
        if script and os.pread(descriptor, 2, 0) != b"#!":
            raise Dropped("unknown_language")
        content = os.read(descriptor, size + 1)
        while 0 < len(content) < size:  # a read may stop early
            more = os.read(descriptor, size + 1 - len(content))
            if not more:
                break
            content += more
    except OSError:
        raise Dropped("unreadable") from None
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise Dropped("changed")
    return content


def _files(part: FolderPart, output: str, skipped: Counter[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path, entry) of everything in the range that is not a folder, in the order of the whole paths.

    An explicit stack, since folders may be very deep. A folder's key ends with "/": so ordered, everything in it
    stands between it and its next neighbour.
    """
    stack = _children(part.root, "", part, output, skipped)
    while stack:
        key, entry = stack.pop()
        if part.stop and key >= part.stop:
            return
        if not key.endswith("/"):
            if key >= part.start:
                yield key, entry
            continue
        if key < part.start and not part.start.startswith(key):
            continue  # all of it belongs to an earlier range
        if reason := _skipped(entry, part, output):
            if key >= part.start:
                skipped[reason] += 1
            continue
        stack += _children(entry.path, key, part, output, skipped)


def _children(
    folder: str, prefix: str, part: FolderPart, output: str, skipped: Counter[str]
) -> list[tuple[str, os.DirEntry[str]]]:
    """Keys and entries of a folder, the last first."""
    counts = skipped if prefix >= part.start else Counter()  # an earlier range counts a folder that it began
    if folder == output:
        counts["own_output"] += 1
        return []
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:  # also a path that is too long
        counts["unreadable"] += 1
        return []
    if not prefix and part.only is not None:
        only = frozenset(part.only)
        entries = [entry for entry in entries if entry.name in only]
    found = []
    for entry in entries:
        name = entry.name
        if name == _ENVIRONMENT_MARK and prefix:
            counts["virtual_environment"] += 1
            return []
        found.append((f"{prefix}{name}/" if entry.is_dir(follow_symlinks=False) else prefix + name, entry))
    found.sort(key=_key, reverse=True)
    return found


_key = operator.itemgetter(0)


def _skipped(folder: os.DirEntry[str], part: FolderPart, output: str) -> str | None:
    """Why a folder is not entered."""
    if folder.name.startswith("."):
        return "hidden"
    if folder.name in GENERATED:
        return "generated"
    if folder.path == output:
        return "own_output"
    if part.without and folder.path in part.without:
        return "own_repository"
    try:
        os.fsencode(folder.name).decode()
    except UnicodeDecodeError:
        return "bad_name"
    return None
