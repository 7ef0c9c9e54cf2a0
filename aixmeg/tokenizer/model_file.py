"""What SentencePiece's Python API does not tell of a model: its kind, its normaliser and its user-defined symbols.

The file is a protocol buffer (`sentencepiece_model.proto`, ModelProto: 1 pieces, 2 trainer_spec, 3 normalizer_spec);
this reads the fields by number, without the protobuf package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TRAINER_SPEC, _NORMALIZER_SPEC = 2, 3
_PIECES_TAG: Final = 1 << 3 | _BYTES
_TYPE, _USER_DEFINED = 3, 4
_USER_DEFINED_FIELD: Final = bytes([_TYPE << 3 | _VARINT, _USER_DEFINED])
_KINDS: Final = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What decides how a model's text has to be prepared."""

    kind: str
    """unigram, bpe, word or char."""
    charsmap_bytes: int
    """Size of the table of replaced characters; 0: text is not normalised (identity)."""
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool
    user_defined: tuple[int, ...]
    """Ids of the user-defined symbols, which match wherever a text spells them."""

    @classmethod
    def read(cls, blob: bytes) -> ModelFacts:
        """Facts of a model that SentencePiece itself serialized; absent fields have the format's defaults."""
        trainer: dict[int, int | bytes] = {}
        normalizer: dict[int, int | bytes] = {}
        user_defined, end = _user_defined(blob)
        for number, value in _fields(blob[end:]):
            if isinstance(value, bytes) and number in (_TRAINER_SPEC, _NORMALIZER_SPEC):
                (trainer if number == _TRAINER_SPEC else normalizer).update(_fields(value))
        charsmap = normalizer.get(2, b"")
        return cls(
            kind=_KINDS.get(int(trainer.get(3, 1)), "unknown"),
            charsmap_bytes=len(charsmap) if isinstance(charsmap, bytes) else 0,
            add_dummy_prefix=bool(normalizer.get(3, 1)),
            remove_extra_whitespaces=bool(normalizer.get(4, 1)),
            escape_whitespaces=bool(normalizer.get(5, 1)),
            user_defined=tuple(user_defined),
        )


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _user_defined(blob: bytes) -> tuple[list[int], int]:
    """Ids of the user-defined pieces, and where the pieces, which come first, end."""
    found: list[int] = []
    at = piece = 0
    while at < len(blob) and blob[at] == _PIECES_TAG:
        size, start = (blob[at + 1], at + 2) if blob[at + 1] < 0x80 else _varint(blob, at + 1)
        at = start + size
        # Most pieces are told apart by this look alone: reading all fields takes a quarter second.
        if blob.find(_USER_DEFINED_FIELD, start, at) >= 0 and dict(_fields(blob[start:at])).get(_TYPE) == _USER_DEFINED:
            found.append(piece)
        piece += 1
    return found, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one message; a later value of a field replaces an earlier one."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}[wire]
        yield number, data[at : at + size]
        at += size
