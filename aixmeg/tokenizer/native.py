"""The compiled encoder (csrc/data/encoder.cpp): SentencePiece's ids for BPE models that take text as it is.

It cuts text where no piece reaches over the cut, joins inside the cuts as SentencePiece does and remembers what it has
seen in a table of fixed size. Ids depend on the model and the text alone.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Final

import numpy as np
import sentencepiece

from aixmeg.errors import UserError
from aixmeg.native.library import data_library
from aixmeg.tokenizer.model_file import ModelFacts
from aixmeg.tokenizer.reference import NotUtf8Error

CACHE_BITS: Final = 18
"""Default log2 of the remembered sets: 262,144 sets of about 132 bytes, 34 MB once all are used."""
_ROOM: Final = 15
"""Ids that the encoder may write past the last."""
_Int64 = ctypes.c_int64
_Start = ctypes.c_char * 0  # of any array, an empty one included
_OneSlice = ctypes.c_int64 * 2
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_BAD_ARGUMENTS, _BAD_UTF8, _NO_MEMORY, _TOO_LONG = -1, -2, -3, -4


class NativeEncoder:
    """Encodes slices of byte strings; safe to share between threads, which take turns."""

    def __init__(self, handle: int) -> None:
        """Own a handle that `native_encoder` made."""
        self._handle = handle
        self._function = _library().aixmeg_encoder_encode

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            _library().aixmeg_encoder_free(self._handle)

    def encode(self, data: bytes) -> np.ndarray:
        """Ids of UTF-8 text, int32 [ids]."""
        size = len(data)
        ids = np.empty(size + _ROOM, np.int32)  # untouched pages cost nothing
        return ids[: self._call(data, _OneSlice(0, size), 1, ids, ctypes.byref(_Int64()))]

    def encode_bounds(self, data: bytes, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids of many slices of one buffer, each encoded as a text of its own.

        Args:
            data: UTF-8 text in which every slice holds whole characters.
            bounds: int64 [slices, 2]: first byte and byte after the last of each slice; slices may overlap.

        Returns:
            ids int32 [total], and ends int64 [slices]: ids up to the end of each slice.

        Raises:
            NotUtf8Error: a slice is no UTF-8, as where it begins inside a character.
            UserError: bounds outside the data, or no memory.
        """
        pairs = np.array(bounds, np.int64).reshape(-1, 2)
        total = 0
        for start, stop in pairs.tolist():  # for a few slices faster than numpy's reductions
            if not 0 <= start <= stop <= len(data):
                raise _failure(_BAD_ARGUMENTS, 0)
            total += stop - start
        ids = np.empty(total + _ROOM, np.int32)
        ends = np.empty(len(pairs), np.int64)
        return ids[: self._call(data, _pointer(pairs), len(ends), ids, _pointer(ends))], ends

    def _call(self, data: bytes, bounds: Any, slices: int, ids: np.ndarray, ends: Any) -> int:
        """Number of ids written; `bounds` and `ends` are pointers or ctypes objects."""
        where = _Int64()
        room, to = len(ids), _pointer(ids)
        written = self._function(self._handle, data, len(data), bounds, slices, to, room, ends, ctypes.byref(where))
        if written < 0:
            raise _failure(written, where.value)
        return written


def _pointer(array: np.ndarray) -> Any:
    """To a writable array; `array.ctypes.data` takes three times as long, which counts in small files."""
    return ctypes.byref(_Start.from_buffer(array))  # pyright: ignore[reportArgumentType] (the stubs of 3.11 lack it)


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
    types = _types(processor, facts)
    reason = _why_not(facts, types)
    if reason:
        return reason
    handle = _new_handle(processor, types, split_boundary, cache_bits)
    if handle is None:
        return "its vocabulary is unusual: no piece for the blank, or a symbol with a literal blank"
    encoder = NativeEncoder(handle)
    probe = _probe(processor)
    if encoder.encode(probe.encode()).tolist() != processor.encode(probe):
        return "its ids differ on a probe; please report this model"
    return encoder


def _probe(processor: sentencepiece.SentencePieceProcessor) -> str:
    """Some of the vocabulary's own text, and what tokenizers stumble over: a model for which another version of
    SentencePiece gives other ids is left to it."""
    pieces: list[str] = processor.id_to_piece(list(range(0, processor.vocab_size(), processor.vocab_size() // 200 + 1)))
    return "".join(pieces).replace("\u2581", " ") + "  <s>a\t\t12345 \u00e9\U0001f600\0\r\n"


def _why_not(facts: ModelFacts, types: np.ndarray) -> str | None:
    """The first property of a model that the compiled encoder does not know."""
    tests = {
        f"{facts.kind} model": facts.kind != "bpe",
        "its normaliser replaces characters": facts.charsmap_bytes > 0,
        "add_dummy_prefix is on": facts.add_dummy_prefix,
        "remove_extra_whitespaces is on": facts.remove_extra_whitespaces,
        "escape_whitespaces is off": not facts.escape_whitespaces,
        "it has unused pieces": (types == _UNUSED).any(),
        "it has no byte pieces": (types == _BYTE).sum() != 256,
    }
    return next((reason for reason, holds in tests.items() if holds), None)


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
        pointer, ctypes.c_char_p, i64, pointer, i64, pointer, i64, pointer, pointer,
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
