"""Megatron's indexed dataset: token ids in PREFIX.bin, the length of each sequence in PREFIX.idx.

The format is megatron-core's (`megatron/core/datasets/indexed_dataset.py`), which reads what is written here; a test
holds the two together. Its own builder keeps every length as a Python object and wants a whole document as one tensor;
here tokens of any amount are appended to a file, lengths are spooled to disk, and reading maps both files: opening an
index of 200 million documents looks at its header and its two ends.

    .idx: b"MMIDIDX\\0\\0" | u64 version 1 | u8 type code | u64 sequences n | u64 documents + 1
          | i32[n] lengths in tokens | i64[n] starts in bytes | i64[documents + 1] first sequence of each document
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike

from aixmeg.errors import UserError
from aixmeg.files import atomic_write, write_error

MAGIC: Final = b"MMIDIDX\x00\x00"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<9sQBQQ")
_TYPE_OF_CODE: Final[dict[int, np.dtype[Any]]] = {4: np.dtype("<i4"), 5: np.dtype("<i8"), 8: np.dtype("<u2")}
_REMEDY: Final = "it was cut off or is not an indexed dataset; build it again with `aixmeg data build`"
_LONGEST: Final = int(np.iinfo(np.int32).max)
_CHUNK: Final = 1 << 20
"""Entries handled at a time where a whole index is written or read."""
_ENDS: Final = 4096
"""Entries at either end of an index that are checked when it is opened."""


def token_type(vocab_size: int) -> np.dtype[Any]:
    """The type of token ids on disk: two bytes where they fit."""
    return np.dtype("<u2") if vocab_size <= 65_536 else np.dtype("<i4")


class IndexWriter:
    """Writes an .idx while the lengths come in; memory does not grow with their number.

    Used as a context: the file appears, whole, when the block ends without an exception, and only then.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        """Write to `path`, for tokens of type `dtype`."""
        self.path, self.dtype = path, dtype
        self.sequences = self.documents = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Files without a name: nothing is left of them however this process ends.
            self._lengths, self._counts = (tempfile.TemporaryFile(dir=path.parent) for _ in range(2))  # noqa: SIM115 - see __exit__
        except OSError as error:
            raise write_error(path, error) from error

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        with self._lengths, self._counts:
            if kind is None:
                self._finish()

    def add(self, lengths: ArrayLike, sequences: ArrayLike | None = None) -> None:
        """Append sequences.

        Args:
            lengths: tokens of each.
            sequences: how many of them make up each document, in order; by default one each.

        Raises:
            UserError: a sequence exceeds the format's 32-bit length, or the disk refuses the write.
        """
        tokens = np.asarray(lengths, np.int64)
        counts = np.ones(len(tokens), "<i4") if sequences is None else np.asarray(sequences, "<i4")
        if tokens.size and tokens.max() > _LONGEST:
            raise UserError(f"a document of {tokens.max():,} tokens does not fit the index's 32-bit lengths; "
                            "limit repositories with corpus.max_repository_bytes")  # fmt: skip
        if counts.sum() != len(tokens):
            raise ValueError(f"{len(tokens)} sequences cannot make up documents of {counts.sum()}")
        try:
            self._lengths.write(tokens.astype("<i4").tobytes())
            self._counts.write(counts.tobytes())
        except OSError as error:
            raise write_error(self.path, error) from error
        self.sequences += len(tokens)
        self.documents += len(counts)

    def _finish(self) -> None:
        code = next(code for code, known in _TYPE_OF_CODE.items() if known == self.dtype)
        with atomic_write(self.path, "wb") as file:
            file.write(_HEADER.pack(MAGIC, VERSION, code, self.sequences, self.documents + 1))
            for lengths in _spooled(self._lengths):
                file.write(lengths.tobytes())
            end = 0
            for lengths in _spooled(self._lengths):
                ends = end + np.cumsum(lengths, dtype=np.int64)
                file.write(((ends - lengths) * self.dtype.itemsize).astype("<i8").tobytes())
                end = int(ends[-1])
            file.write(struct.pack("<q", 0))
            first = 0
            for counts in _spooled(self._counts):
                firsts = first + np.cumsum(counts, dtype=np.int64)
                file.write(firsts.astype("<i8").tobytes())
                first = int(firsts[-1])


def _spooled(file: IO[bytes]) -> Iterator[np.ndarray]:
    file.seek(0)
    while data := file.read(4 * _CHUNK):
        yield np.frombuffer(data, "<i4")


def write_index(path: Path, lengths: ArrayLike, dtype: np.dtype[Any]) -> None:
    """Write the .idx of a .bin whose sequences, one document each, are `lengths` tokens long.

    Raises:
        UserError: a document exceeds the format's 32-bit length, or the disk refuses the write.
    """
    with IndexWriter(path, dtype) as writer:
        writer.add(lengths)


class TokenStarts:
    """First token of each sequence, computed from the bytes that the index holds, for those asked for."""

    def __init__(self, starts: np.ndarray, itemsize: int) -> None:
        self._starts, self._itemsize = starts, itemsize

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.int64: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray: ...
    def __getitem__(self, index: Any) -> Any:
        return self._starts[index] // self._itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


class TokenStream:
    """The sequences of PREFIX.bin laid end to end. Both files are mapped: only what is read is loaded.

    Opening checks the header, both files' sizes and the first and last entries of the index; `document` checks the one
    it reads, `verify` all.

    Attributes:
        lengths: tokens of each sequence, int32 [sequences], mapped. Here a sequence is a document.
        starts: position of each sequence's first token; indexed like an array, int64.
        boundaries: first sequence of each of Megatron's documents, and one more, int64 [documents + 1], mapped.
        total: tokens of all sequences.
    """

    def __init__(self, prefix: Path) -> None:
        """Map PREFIX.idx and PREFIX.bin.

        Raises:
            UserError: missing, cut off, or no indexed dataset.
        """
        self.index_file = prefix.with_name(prefix.name + ".idx")
        self.token_file = prefix.with_name(prefix.name + ".bin")
        self._map_index()
        self.starts = TokenStarts(self._starts, self.dtype.itemsize)
        self._check_ends()
        self.total = int(self._starts[-1]) // self.dtype.itemsize + int(self.lengths[-1]) if len(self) else 0
        self._tokens = self._map_tokens()

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop) of the stream, in the type on disk and without a copy."""
        return self._tokens[start:stop]

    def join(self, pieces: Iterable[tuple[int, int]], size: int) -> np.ndarray:
        """Tokens of pieces, (position, length) each, one behind the other: int64 [size], zeros behind the last."""
        tokens, filled = np.zeros(size, np.int64), 0
        for start, length in pieces:
            tokens[filled : filled + length] = self.read(start, start + length)
            filled += length
        return tokens

    def document(self, index: int) -> np.ndarray:
        """All tokens of one sequence.

        Raises:
            UserError: the index is damaged there.
        """
        start, length = int(self._starts[index]), int(self.lengths[index])
        first, rest = divmod(start, self.dtype.itemsize)
        if rest or length < 0 or first < 0 or first + length > self.total:
            raise UserError(f"{self.index_file}: sequence {index} has {length} tokens from byte {start} on, outside "
                            f"of {self.total} tokens; {_REMEDY}")  # fmt: skip
        return self.read(first, first + length)

    def verify(self) -> None:
        """Read the whole index, in pieces.

        Raises:
            UserError: sequences do not follow each other without gaps, or documents are no ascending sequences.
        """
        for start in range(0, len(self), _CHUNK):
            self._check_sequences(start, min(start + _CHUNK, len(self)))
        for start in range(0, len(self.boundaries), _CHUNK):
            self._check_boundaries(start, min(start + _CHUNK, len(self.boundaries)))

    def _map_index(self) -> None:
        """Map the arrays of the index after a look at its header and size."""
        path = self.index_file
        try:
            size = path.stat().st_size
            # mmap refuses empty files; a plain array is several times as fast to slice as a memmap
            data = np.asarray(np.memmap(path, np.uint8, "r")) if size else np.empty(0, np.uint8)
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or error
            raise UserError(f"cannot read {path}: {what}; build it with `aixmeg data build`") from error
        if len(data) < _HEADER.size or data[: len(MAGIC)].tobytes() != MAGIC:
            raise UserError(f"{path} ({len(data)} bytes) has no indexed-dataset header; {_REMEDY}")
        _, version, code, sequences, boundaries = _HEADER.unpack_from(data[: _HEADER.size].tobytes())
        if version != VERSION or code not in _TYPE_OF_CODE:
            raise UserError(f"{path} has version {version} and type code {code}, but version 1 and one of "
                            f"{sorted(_TYPE_OF_CODE)} can be read; {_REMEDY}")  # fmt: skip
        expected = _HEADER.size + 12 * sequences + 8 * boundaries
        if len(data) != expected:
            raise UserError(f"{path} is {len(data)} bytes, but its header announces {sequences} sequences, which need "
                            f"{expected}; {_REMEDY}")  # fmt: skip
        self.dtype = _TYPE_OF_CODE[code]
        at = _HEADER.size
        self.lengths = np.ndarray((sequences,), "<i4", data, at)
        self._starts = np.ndarray((sequences,), "<i8", data, at + 4 * sequences)
        self.boundaries = np.ndarray((boundaries,), "<i8", data, at + 12 * sequences)

    def _map_tokens(self) -> np.ndarray:
        """Map the tokens after a look at the file's size."""
        expected = self.total * self.dtype.itemsize
        try:
            size = self.token_file.stat().st_size
            if size == expected:
                return np.asarray(np.memmap(self.token_file, self.dtype, "r")) if size else np.empty(0, self.dtype)
        except OSError as error:
            raise UserError(f"cannot read {self.token_file}: {error.strerror}; {_REMEDY}") from error
        raise UserError(
            f"{self.token_file} is {size} bytes, but {self.index_file.name} announces {self.total} tokens, which "
            f"need {expected}; {_REMEDY}"
        )

    def _check_ends(self) -> None:
        """Check the first and the last entries, all of them where they are few."""
        for check, count in ((self._check_sequences, len(self)), (self._check_boundaries, len(self.boundaries))):
            check(0, min(count, _ENDS))
            check(max(count - _ENDS, 0), count)

    def _check_sequences(self, start: int, stop: int) -> None:
        """Entries [start, stop) follow each other without gaps, and the first one of all begins at 0."""
        lengths = self.lengths[start:stop].astype(np.int64)
        starts = self._starts[start:stop]
        gaps = starts[1:] != starts[:-1] + lengths[:-1] * self.dtype.itemsize
        before = start and int(self._starts[start - 1]) + int(self.lengths[start - 1]) * self.dtype.itemsize
        if (lengths < 0).any() or gaps.any() or (len(starts) and int(starts[0]) != before):
            raise UserError(f"{self.index_file}: the sequences do not follow each other without gaps; {_REMEDY}")

    def _check_boundaries(self, start: int, stop: int) -> None:
        """Entries [start, stop) ascend from 0 to the number of sequences."""
        part = self.boundaries[max(start - 1, 0) : stop]
        ends = self.boundaries[:1].tolist() + self.boundaries[-1:].tolist()
        if ends != [0, len(self)] or (part[1:] < part[:-1]).any():
            raise UserError(f"{self.index_file}: its documents do not divide its {len(self)} sequences; {_REMEDY}")
