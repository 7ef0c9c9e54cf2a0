"""Files read from front to back, decompressed on the way: bounded in memory and in what they may expand to."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from aixmeg.corpus.sources.limits import ALWAYS_EXPANDS
from aixmeg.errors import UserError

_BLOCK: Final = 1 << 18
_XZ_MEMORY: Final = 256 << 20
_ZSTD_WINDOW: Final = 1 << 27
_ENDINGS: Final = {
    ".gz": "gz", ".tgz": "gz", ".crate": "gz", ".bz2": "bz2", ".tbz2": "bz2", ".xz": "xz", ".txz": "xz",
    ".zst": "zst", ".tzst": "zst",
}  # fmt: skip


class Damaged(Exception):
    """The rest of a file cannot be read; what came before it is whole."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """`damaged_archive` or `archive_bomb`."""


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def compression_of(path: Path) -> str | None:
    """gz, bz2, xz or zst, by the name."""
    return _ENDINGS.get(path.suffix.lower())


class Stream:
    """Forward reading with a little look back: what `tarfile` and a reader of lines need."""

    def __init__(self, file: io.RawIOBase | io.BufferedReader, size: int, compression: str | None, limit: int) -> None:
        self._file, self._size, self._limit = file, size, limit
        self._unpacker = _Unpacker(compression) if compression else None
        self._buffer = memoryview(b"")
        self._made = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def compressed(self) -> bool:
        """Whether the file is; then it cannot `seek`."""
        return self._unpacker is not None

    def block(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            Damaged: they cannot be decompressed, are cut off, or are more than the file may expand to.
        """
        allowed = max(ALWAYS_EXPANDS, self._limit * self._size) if self._limit else float("inf")
        if self._made > allowed:
            raise Damaged("archive_bomb")
        try:
            if self._unpacker is None:
                return self._file.read(_BLOCK) or b""
            data = self._unpacker.block(self._file)
        except OSError as error:
            raise Damaged("unreadable") from error
        before = self._made
        self._made += len(data)
        if self._made > allowed:
            data = data[: int(allowed) - before]  # what stands before the limit still counts
            if not data:
                raise Damaged("archive_bomb")
        return data

    def seek(self, offset: int) -> None:
        """Go to an offset of a file that is not compressed."""
        self._file.seek(offset)

    def skip_line(self) -> int:
        """Pass over the rest of a line; the bytes that it has, its end included."""
        return next((size for _, size in self.lines(0)), 0)

    def lines(self, longest: int) -> Iterator[tuple[bytes | None, int]]:
        r"""(line without its b"\n", bytes with it), from here on; None in the place of a line longer than `longest`."""
        held: list[bytes] = []
        size = 0
        block = bytes(self._buffer)
        self._buffer = memoryview(b"")
        while True:
            start = 0
            while (end := block.find(b"\n", start)) >= 0:
                size += end - start
                piece = block[start:end]
                start = end + 1
                line = None if size > longest else b"".join((*held, piece)) if held else piece
                held, done, size = [], size + 1, 0
                self._buffer = memoryview(block)[start:]
                yield line, done
            size += len(block) - start
            if size <= longest:
                held.append(block[start:])
            else:
                held = []
            block = self.block()
            if not block:
                if size:
                    self._buffer = memoryview(b"")
                    yield (None if size > longest else b"".join(held)), size
                return


class _Unpacker:
    """Blocks of decompressed bytes, of at most _BLOCK each, through members and frames that follow each other."""

    def __init__(self, compression: str) -> None:
        self._compression = compression
        self._one: Any = None
        self._data = b""
        self._any = False

    def block(self, file: io.RawIOBase | io.BufferedReader) -> bytes:
        while True:
            if not self._data and not self._pending():
                self._data = file.read(_BLOCK) or b""
                if not self._data:
                    if self._one is not None or not self._any:
                        raise Damaged("damaged_archive")  # cut off, or empty
                    return b""
            if self._one is None:
                if self._any and not self._data.strip(b"\0"):  # padding behind the last member
                    self._data = b""
                    continue
                self._one, self._any = _decompressor(self._compression), True
            made = self._decompress()
            if made:
                return made

    def _pending(self) -> bool:
        return self._one is not None and not getattr(self._one, "needs_input", True)

    def _decompress(self) -> bytes:
        one, data, self._data = self._one, self._data, b""
        try:
            made = one.decompress(data, _BLOCK)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError, _zstd_error()) as error:
            raise Damaged("damaged_archive") from error
        if one.eof:
            self._data, self._one = one.unused_data, None
        return made


def _zstd_error() -> type[Exception]:
    try:
        from zstandard import ZstdError
    except ImportError:
        return zlib.error
    return ZstdError


class _Gzip:
    """zlib with the interface of `bz2.BZ2Decompressor`."""

    def __init__(self) -> None:
        self._one = zlib.decompressobj(31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._one.decompress(self._one.unconsumed_tail + data, max_length)

    @property
    def needs_input(self) -> bool:
        return not self._one.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._one.eof

    @property
    def unused_data(self) -> bytes:
        return self._one.unused_data


class _Zstd:
    """zstandard with that interface. Its output has no bound, but 4 bytes give at most 128 KiB: fed in small pieces."""

    _PIECE: Final = 1 << 10

    def __init__(self) -> None:
        try:
            import zstandard
        except ImportError:
            raise UserError("reading .zst needs the package zstandard; install aixmeg[corpus]") from None
        self._one = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        self._rest = memoryview(b"")

    def decompress(self, data: bytes, max_length: int) -> bytes:
        rest = memoryview(bytes(self._rest) + data) if len(self._rest) else memoryview(data)
        made, length = [], 0
        while len(rest) and length < max_length and not self._one.eof:
            made.append(self._one.decompress(rest[: self._PIECE]))
            length += len(made[-1])
            rest = rest[self._PIECE :]
        self._rest = rest
        return b"".join(made)

    @property
    def needs_input(self) -> bool:
        return not len(self._rest)

    @property
    def eof(self) -> bool:
        return self._one.eof

    @property
    def unused_data(self) -> bytes:
        return self._one.unused_data + bytes(self._rest)


def _decompressor(compression: str) -> Any:
    if compression == "gz":
        return _Gzip()
    if compression == "bz2":
        return bz2.BZ2Decompressor()
    if compression == "xz":
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    return _Zstd()


def open_stream(path: Path, *, max_expansion: int) -> Stream:
    """Open a file for reading from front to back.

    Raises:
        UserError: it is gone, unreadable, or not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115, PTH123 (the stream closes it)
        status = os.fstat(descriptor)
    except OSError as error:
        raise UserError(f"cannot read the source {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise UserError(f"the source {path} is not a regular file; give corpus.sources a file or folder")
    return Stream(file, status.st_size, compression_of(path), max_expansion)
