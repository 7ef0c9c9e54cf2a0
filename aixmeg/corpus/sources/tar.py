"""Tar archives, plain or compressed, streamed. A plain one is divided into ranges at its members."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from aixmeg.corpus.sources.archive import damaged, placed
from aixmeg.corpus.sources.folders import Repository
from aixmeg.corpus.sources.limits import EXPANSION, RANGE_BYTES, RANGE_FILES
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.corpus.sources.streams import Damaged, Stream, compression_of, open_stream
from aixmeg.languages import candidates

_HEADERS: Final = 1 << 20
"""Bytes that the extended header of a member may take (a path is at most 4,096)."""
_BROKEN: Final = (tarfile.TarError, ValueError, OverflowError, IndexError, EOFError, RecursionError)
"""What `tarfile` raises for bytes that are no archive."""


@dataclass(frozen=True, kw_only=True)
class TarPart:
    """Consecutive members of an archive."""

    kind: ClassVar[str] = "tar"
    repository: str
    path: str
    offset: int
    """Of the first member's header."""
    files: int
    """Number of members; 0 means all to the end."""
    bytes: int
    stamp: str

    @property
    def name(self) -> str:
        """What a message calls it."""
        return f"{self.path}, from byte {self.offset}" if self.offset else self.path

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """See `Part`."""
        depth, stem = reading.rules.reading.repository_depth, Path(self.path).name.split(".")[0]
        with open_stream(Path(self.path), max_expansion=reading.rules.reading.max_expansion) as stream:
            try:
                for member, read in _members(stream, self.offset, self.files, reading.rules.max_bytes):
                    if member.isdir() or not reading.take():
                        continue
                    repository, path, reason = placed(member.name, self.repository, depth, stem)
                    reason = reason or _kind(member)
                    if reason:
                        yield reading.dropped(repository, path, member.size if member.isreg() else 0, reason)
                    else:
                        yield reading.document(repository, path, member.size, read)
            except Damaged as damage:
                if reading.take():
                    yield damaged(reading, self.repository, self.path, damage.reason)

    def signals(self) -> dict[str, dict[str, float]]:
        """None: an archive has no history."""
        return {}


def tar_parts(repository: Repository, rules: Rules) -> Iterator[TarPart]:
    """Ranges of about RANGE_BYTES; a compressed archive is one."""
    status = repository.root.stat()
    place: Any = {"repository": repository.name, "path": str(repository.root),
                  "stamp": f"{status.st_size}-{status.st_mtime_ns}"}  # fmt: skip
    if compression_of(repository.root):
        yield TarPart(**place, offset=0, files=0, bytes=status.st_size * EXPANSION)
        return
    offset = files = size = 0
    with open_stream(repository.root, max_expansion=0) as stream:
        try:
            for member, _ in _members(stream, 0, 0, 0):
                here = (
                    member.size if member.isreg() and member.size <= rules.max_bytes and candidates(member.name) else 0
                )
                if files and (files >= RANGE_FILES or size + here > RANGE_BYTES):
                    yield TarPart(**place, offset=offset, files=files, bytes=size)
                    offset, files, size = member.offset, 0, 0
                files, size = files + 1, size + here
        except Damaged:
            pass  # the last range meets it again, and counts it
    yield TarPart(**place, offset=offset, files=0, bytes=size)


def _kind(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return "symlink"
    return None if member.isreg() else "not_a_file"


def _members(
    stream: Stream, offset: int, count: int, max_bytes: int
) -> Iterator[tuple[tarfile.TarInfo, functools.partial[bytes]]]:
    """(header, function that reads the content) of each member; the function is for this turn of the loop only.

    Raises:
        Damaged: the archive ends before its end mark, or is none.
    """
    file = _Forward(stream, offset, max(_HEADERS, max_bytes + 1))
    made = 0
    try:
        archive: Any = tarfile.TarFile(fileobj=file, mode="r", errorlevel=0, encoding="utf-8", errors="surrogateescape")
        member = archive.firstmember
        archive.firstmember = None
        while member is not None:
            yield member, functools.partial(_content, archive, file, member)
            made += 1
            if count and made == count:
                return
            archive.members.clear()  # tarfile would remember them all
            member = archive.next()
    except _BROKEN as error:
        raise Damaged("damaged_archive") from error
    if file.block.strip(b"\0") or len(file.block) < tarfile.BLOCKSIZE:
        raise Damaged("damaged_archive")  # tarfile ends as quietly at nonsense as at the end mark, a block of zeros


def _content(archive: tarfile.TarFile, file: _Forward, member: tarfile.TarInfo) -> bytes:
    try:
        if member.issparse():  # holes are zeros, which no text has; rebuilt all the same
            sparse = archive.extractfile(member)
            content = b"" if sparse is None else sparse.read(member.size)
        else:  # a third of what extractfile takes
            file.seek(member.offset_data)
            content = file.read(member.size)
    except _BROKEN as error:
        raise Damaged("damaged_archive") from error
    if len(content) != member.size:
        raise Damaged("damaged_archive")
    return content


class _Forward(io.RawIOBase):
    """A stream as `tarfile` wants it: it tells where it is, seeks forward, and one byte back."""

    def __init__(self, stream: Stream, offset: int, longest: int) -> None:
        if offset:
            stream.seek(offset)
        self._stream, self._longest = stream, longest
        self._at = offset
        self._held = memoryview(b"")
        self._seekable = not stream.compressed
        self.block = b""
        """What was read last."""

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; never more than a header or a file that is kept may have."""
        if not 0 <= size <= self._longest:
            raise Damaged("damaged_archive")
        pieces, left = [], size
        while left:
            if not len(self._held):
                self._held = memoryview(self._stream.block())
                if not len(self._held):
                    break
            piece = self._held[:left]
            self._held = self._held[len(piece) :]
            pieces.append(piece)
            left -= len(piece)
        self.block = b"".join(pieces)
        self._at += len(self.block)
        return self.block

    def seek(self, offset: int, whence: int = 0) -> int:
        """Forward; one byte back is where tarfile looks whether a member is whole."""
        if whence or offset < self._at - 1:
            raise Damaged("damaged_archive")
        if offset == self._at - 1:
            self._held = memoryview(self.block[-1:] + bytes(self._held))
            self._at -= 1
        if self._seekable and offset - self._at > len(self._held):
            self._stream.seek(offset)
            self._held, self._at = memoryview(b""), offset
        while self._at < offset:
            if not len(self._held):
                self._held = memoryview(self._stream.block())
                if not len(self._held):
                    break
            step = min(offset - self._at, len(self._held))
            self.block = bytes(self._held[step - 1 : step])
            self._held = self._held[step:]
            self._at += step
        return self._at
