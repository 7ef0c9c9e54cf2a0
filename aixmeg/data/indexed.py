"""Megatron's indexed dataset: token ids in PREFIX.bin, the length of each sequence in PREFIX.idx.

The format is megatron-core's (`megatron/core/datasets/indexed_dataset.py`), which reads what `write_index` writes; a
test holds the two together. Its own builder wants a whole document as one tensor in memory and costs seconds of import;
here the tokens of a repository of any size are appended to a file and only the index is written at the end.

    .idx: b"MMIDIDX\\0\\0" | u64 version 1 | u8 type code | u64 sequences n | u64 documents + 1
          | i32[n] lengths in tokens | i64[n] starts in bytes | i64[documents + 1] first sequence of each document
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aixmeg.errors import UserError
from aixmeg.files import atomic_write

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
_HEADER = struct.Struct("<9sQBQQ")
_TYPE_OF_CODE: dict[int, np.dtype[Any]] = {4: np.dtype("<i4"), 5: np.dtype("<i8"), 8: np.dtype("<u2")}
_REMEDY = "it was cut off or is not an indexed dataset; build it again with `aixmeg data build`"


def token_type(vocab_size: int) -> np.dtype[Any]:
    """The type of token ids on disk: two bytes where they fit."""
    return np.dtype("<u2") if vocab_size <= 65_536 else np.dtype("<i4")


def write_index(path: Path, lengths: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Write the .idx of a .bin whose sequences, one document each, are `lengths` tokens long.

    Raises:
        UserError: a document exceeds the format's 32-bit length, or the disk refuses the write.
    """
    tokens = np.asarray(lengths, dtype=np.int64)
    if tokens.size and tokens.max() > np.iinfo(np.int32).max:
        raise UserError(f"a document of {tokens.max():,} tokens does not fit the index's 32-bit lengths; "
                        "limit repositories with corpus.max_repository_bytes")  # fmt: skip
    code = next(code for code, known in _TYPE_OF_CODE.items() if known == dtype)
    starts = np.concatenate(([0], np.cumsum(tokens)))[:-1] * dtype.itemsize
    with atomic_write(path, "wb") as file:
        file.write(_HEADER.pack(MAGIC, VERSION, code, len(tokens), len(tokens) + 1))
        file.write(tokens.astype("<i4").tobytes())
        file.write(starts.astype("<i8").tobytes())
        file.write(np.arange(len(tokens) + 1, dtype="<i8").tobytes())


def _read_index(path: Path) -> tuple[np.ndarray, np.dtype[Any]]:
    """Lengths in tokens, int64 [n], and the type of the ids; UserError where any size or field is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; build it with `aixmeg data build`") from error
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise UserError(f"{path} ({len(data)} bytes) has no indexed-dataset header; {_REMEDY}")
    _, version, code, sequences, boundaries = _HEADER.unpack_from(data)
    if version != VERSION or code not in _TYPE_OF_CODE:
        raise UserError(f"{path} has version {version} and type code {code}, but version 1 and one of "
                        f"{sorted(_TYPE_OF_CODE)} can be read; {_REMEDY}")  # fmt: skip
    expected = _HEADER.size + 12 * sequences + 8 * boundaries
    if len(data) != expected:
        raise UserError(
            f"{path} is {len(data)} bytes, but its header announces {sequences} sequences, which need {expected}; "
            + _REMEDY
        )
    lengths = np.frombuffer(data, "<i4", sequences, _HEADER.size).astype(np.int64)
    starts = np.frombuffer(data, "<i8", sequences, _HEADER.size + 4 * sequences)
    itemsize = _TYPE_OF_CODE[code].itemsize
    if (lengths < 0).any() or (starts != (np.cumsum(lengths) - lengths) * itemsize).any():
        raise UserError(f"{path}: the sequences do not follow each other without gaps; {_REMEDY}")
    return lengths, _TYPE_OF_CODE[code]


class TokenStream:
    """The sequences of PREFIX.bin laid end to end; memory-mapped, so that only what is read is loaded.

    Attributes:
        lengths: tokens of each document, int64 [documents].
        starts: position of each document's first token, int64 [documents].
        total: tokens of all documents.
    """

    def __init__(self, prefix: Path) -> None:
        self.index_file = prefix.with_name(prefix.name + ".idx")
        self.token_file = prefix.with_name(prefix.name + ".bin")
        self.lengths, self.dtype = _read_index(self.index_file)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.total = int(self.lengths.sum())
        expected = self.total * self.dtype.itemsize
        try:
            size = self.token_file.stat().st_size
        except OSError as error:
            raise UserError(f"cannot read {self.token_file}: {error.strerror}; {_REMEDY}") from error
        if size != expected:
            raise UserError(
                f"{self.token_file} is {size} bytes, but {self.index_file.name} announces {self.total} tokens, which "
                f"need {expected}; {_REMEDY}"
            )
        # mmap refuses empty files
        self._tokens = np.memmap(self.token_file, self.dtype, "r") if size else np.empty(0, self.dtype)

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop) of the stream, in the type on disk and without a copy."""
        return self._tokens[start:stop]

    def document(self, index: int) -> np.ndarray:
        """All tokens of one document."""
        start = int(self.starts[index])
        return self.read(start, start + int(self.lengths[index]))
