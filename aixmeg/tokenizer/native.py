"""The compiled encoder (csrc/data/encoder.cpp): SentencePiece's ids for BPE models that take text as it is.

It cuts text where no piece reaches over the cut, joins inside the cuts as SentencePiece does and remembers what it has
seen in a table of fixed size. Ids depend on the model and the text alone.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Final

import numpy as np
import sentencepiece

from aixmeg.errors import UserError
from aixmeg.native.library import data_library
from aixmeg.tokenizer.model_file import ModelFacts

CACHE_BITS: Final = 16
"""Default log2 of the remembered sets: 65,536 sets of 128 bytes, 8 MB."""
_ROOM: Final = 7
"""Ids that the encoder may write past the last."""
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_BAD_UTF8, _NO_MEMORY, _TOO_LONG = -2, -3, -4


class NotUtf8Error(UserError):
    """Text that is no UTF-8; `position` is the offset of the first bad byte."""

    def __init__(self, position: int) -> None:
        super().__init__(f"byte {position} of the text is no valid UTF-8; read files as strict UTF-8")
        self.position = position


class NativeEncoder:
    """Encodes slices of byte strings; safe to share between threads, which take turns."""

    def __init__(self, handle: int) -> None:
        """Own a handle that `native_encoder` made."""
        self._handle = handle

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            _library().aixmeg_encoder_free(self._handle)

    def encode(self, data: bytes) -> np.ndarray:
        """Ids of UTF-8 text, int32 [ids]."""
        return self.encode_bounds(data, np.array([0, len(data)], np.int64))[0]

    def encode_bounds(self, data: bytes, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids of many slices of one buffer, each encoded as a text of its own.

        Args:
            data: UTF-8 text in which every slice holds whole characters.
            bounds: int64 [slices, 2] or flat: first byte and byte after the last of each slice; they may overlap.

        Returns:
            ids int32 [total], and ends int64 [slices]: ids up to the end of each slice.

        Raises:
            NotUtf8Error: a slice is no UTF-8, as where it begins inside a character.
            UserError: bounds outside the data, or no memory.
        """
        flat = np.ascontiguousarray(bounds, np.int64).reshape(-1)
        count = len(flat) // 2
        room = int((flat[1::2] - flat[::2]).sum()) + _ROOM if count else _ROOM
        ids = np.empty(max(room, _ROOM), np.int32)  # untouched pages cost nothing
        ends = np.empty(count, np.int64)
        where = ctypes.c_int64(-1)
        written = _library().aixmeg_encoder_encode(
            self._handle, data, len(data), flat.ctypes.data, count, ids.ctypes.data, room, ends.ctypes.data, where
        )
        if written < 0:
            raise _failure(written, where.value)
        return ids[:written], ends


def native_encoder(
    processor: sentencepiece.SentencePieceProcessor, *, split_boundary: bool, cache_bits: int = CACHE_BITS
) -> NativeEncoder | str:
    """The compiled encoder of a loaded model, or in a few words why only SentencePiece itself encodes for it.

    Args:
        processor: the model.
        split_boundary: U+2581 in text becomes its three byte pieces; else it is a blank, as for SentencePiece.
        cache_bits: log2 of the number of 128-byte sets in which segments are remembered, 0 to 24.

    Raises:
        UserError: the compiled helpers are not built.
    """
    facts = ModelFacts.read(processor.serialized_model_proto())
    if facts.kind != "bpe":
        return f"{facts.kind} model"
    if facts.charsmap_bytes:
        return "its normaliser replaces characters"
    for name in ("add_dummy_prefix", "remove_extra_whitespaces"):
        if getattr(facts, name):
            return f"{name} is on"
    if not facts.escape_whitespaces:
        return "escape_whitespaces is off"
    types = _types(processor, facts)
    if (types == _UNUSED).any():
        return "it has unused pieces"
    if (types == _BYTE).sum() != 256:
        return "it has no byte pieces"
    handle = _new_handle(processor, types, split_boundary, cache_bits)
    if handle is None:
        return "its vocabulary is unusual: no blank, or symbols with literal blanks or of two meanings"
    return NativeEncoder(handle)


def bounds_of(slices: Sequence[tuple[int, int]]) -> np.ndarray:
    """int64 [slices, 2]."""
    return np.asarray(slices, np.int64).reshape(-1, 2)


@functools.cache
def _library() -> ctypes.CDLL:
    """The helpers with the types of the functions used here."""
    library = data_library()
    pointer, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    library.aixmeg_encoder_new.restype = pointer
    library.aixmeg_encoder_new.argtypes = [ctypes.c_char_p, pointer, pointer, ctypes.c_char_p, i32, i32, i32]
    library.aixmeg_encoder_free.restype = None
    library.aixmeg_encoder_free.argtypes = [pointer]
    library.aixmeg_encoder_encode.restype = i64
    library.aixmeg_encoder_encode.argtypes = [
        pointer, ctypes.c_char_p, i64, pointer, i64, pointer, i64, pointer, ctypes.POINTER(i64),
    ]  # fmt: skip
    return library


def _types(processor: sentencepiece.SentencePieceProcessor, facts: ModelFacts) -> np.ndarray:
    """ModelProto.SentencePiece.Type of each piece, uint8 [vocab_size]."""
    ids = list(range(processor.vocab_size()))
    types = np.full(len(ids), _NORMAL, np.uint8)
    types[list(facts.user_defined)] = _USER_DEFINED
    tests = {
        _UNKNOWN: processor.is_unknown,
        _CONTROL: processor.is_control,
        _UNUSED: processor.is_unused,
        _BYTE: processor.is_byte,
    }
    for value, test in tests.items():
        types[np.array(test(ids), bool)] = value
    return types


def _new_handle(
    processor: sentencepiece.SentencePieceProcessor, types: np.ndarray, split_boundary: bool, cache_bits: int
) -> int | None:
    ids = list(range(processor.vocab_size()))
    pieces = [piece.encode() for piece in processor.id_to_piece(ids)]
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    scores = np.array(processor.get_score(ids), np.float32)
    return _library().aixmeg_encoder_new(
        b"".join(pieces), ends.ctypes.data, scores.ctypes.data, types.tobytes(), len(ids), split_boundary, cache_bits
    )


def _failure(code: int, where: int) -> UserError:
    if code == _BAD_UTF8:
        return NotUtf8Error(where)
    if code == _NO_MEMORY:
        return UserError("not enough memory to encode this text; lower the size limit of files")
    if code == _TOO_LONG:
        return UserError("a text holds more than 2 GB without a place to cut; lower the size limit of files")
    return UserError("a slice lies outside the text, or ends before it begins")
