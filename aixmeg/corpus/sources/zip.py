"""Zip archives, wheels and jars: the central directory is read first, each member by itself."""

from __future__ import annotations

import functools
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources.archive import damaged, placed
from aixmeg.corpus.sources.folders import Repository
from aixmeg.corpus.sources.limits import ALWAYS_EXPANDS, RANGE_BYTES, RANGE_FILES
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.errors import UserError
from aixmeg.languages import candidates

_UTF8_NAME: Final = 0x800
_ENCRYPTED: Final = 0x1
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, RuntimeError)
"""What zipfile raises on damage; RuntimeError also stands for members that are encrypted or of an unknown method."""


@dataclass(frozen=True, kw_only=True)
class ZipPart:
    """Consecutive members of an archive."""

    kind: ClassVar[str] = "zip"
    repository: str
    path: str
    first: int
    files: int
    """-1: it is no archive."""
    bytes: int
    before: int
    """Bytes that the members before it expand to."""
    stamp: str

    @property
    def name(self) -> str:
        """What a message calls it."""
        return f"{self.path}, from member {self.first}" if self.first else self.path

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """See `Part`."""
        depth, stem = reading.rules.reading.repository_depth, Path(self.path).name.split(".")[0]
        left = _budget(Path(self.path), reading.rules.reading.max_expansion) - self.before
        try:
            with zipfile.ZipFile(_file(self.path)) as archive:
                for member in archive.infolist()[self.first : self.first + max(self.files, 0)]:
                    if member.filename.endswith("/"):  # a name may be empty, which `is_dir` fails at
                        continue
                    left -= _cost(member, reading.rules)
                    if not reading.take():
                        continue
                    repository, path, reason = placed(_member_name(member), self.repository, depth, stem)
                    if reason := reason or _reason(member) or ("archive_bomb" if left < 0 else None):
                        yield reading.dropped(repository, path, member.file_size, reason)
                    else:
                        read = functools.partial(_content, archive, member)
                        yield reading.document(repository, path, member.file_size, read)
        except (*_BROKEN, OSError):
            if reading.take():
                yield damaged(reading, self.repository, self.path, "damaged_archive")

    def signals(self) -> dict[str, dict[str, float]]:
        """None: an archive has no history."""
        return {}


def _budget(path: Path, times: int) -> float:
    """Bytes that the members may expand to together."""
    return max(ALWAYS_EXPANDS, times * path.stat().st_size) if times else float("inf")


def _cost(member: zipfile.ZipInfo, rules: Rules) -> int:
    """Bytes that reading a member takes."""
    return 0 if member.file_size > rules.max_bytes else member.file_size


def zip_parts(repository: Repository, rules: Rules) -> Iterator[ZipPart]:
    """Ranges of about RANGE_BYTES."""
    status = repository.root.stat()
    place: Any = {"repository": repository.name, "path": str(repository.root),
                  "stamp": f"{status.st_size}-{status.st_mtime_ns}"}  # fmt: skip
    try:
        with zipfile.ZipFile(_file(str(repository.root))) as archive:
            sizes = [(_cost(one, rules), bool(candidates(one.filename))) for one in archive.infolist()]
    except (*_BROKEN, OSError):
        yield ZipPart(**place, first=0, files=-1, bytes=0, before=0)
        return
    first = files = size = before = spent = 0
    for cost, read in sizes:
        here = cost if read else 0
        if files and (files >= RANGE_FILES or size + here > RANGE_BYTES):
            yield ZipPart(**place, first=first, files=files, bytes=size, before=before)
            first, files, size, before = first + files, 0, 0, spent
        files, size, spent = files + 1, size + here, spent + cost
    yield ZipPart(**place, first=first, files=files, bytes=size, before=before)


def _file(path: str) -> str:
    if not Path(path).is_file():
        raise UserError(f"the source {path} is gone, or is not a regular file; give corpus.sources what exists")
    return path


def _member_name(member: zipfile.ZipInfo) -> str:
    """Names without the UTF-8 flag are UTF-8 all the same in most archives, and code page 437 by the letter."""
    if member.flag_bits & _UTF8_NAME or member.filename.isascii():
        return member.filename
    try:
        return member.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def _reason(member: zipfile.ZipInfo) -> str | None:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "symlink"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "not_a_file"
    return "encrypted" if member.flag_bits & _ENCRYPTED else None


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The member, whose checksum `zipfile` compares; a header that tells too small a size gives no more than that."""
    try:
        with archive.open(member) as file:
            content = file.read(member.file_size + 1)
    except (*_BROKEN, OSError):
        raise Dropped("unreadable") from None
    if len(content) != member.file_size:
        raise Dropped("unreadable")
    return content
