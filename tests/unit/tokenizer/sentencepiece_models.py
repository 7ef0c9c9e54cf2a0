"""SentencePiece models of many kinds, trained on standard-library modules."""

from __future__ import annotations

import functools
import io
import struct

import sentencepiece
from stdlib_sources import stdlib_files

from aixmeg.tokenizer.train import chunks

EXACT = {
    "model_type": "bpe",
    "vocab_size": 4096,
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": False,
    "allow_whitespace_only_pieces": True,
    "split_digits": True,
    "required_chars": "\t\n\r\u2581",
    "max_sentence_length": 65_536,
    "minloglevel": 3,
}
"""As `aixmeg tokenizer train` does, in small."""
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "large": {"vocab_size": 16_000},
    "digits joined": {"split_digits": False},
    "over blanks and scripts": {
        "split_by_whitespace": False, "split_by_unicode_script": False, "split_by_number": False,
        "max_sentencepiece_length": 40,
    },
    "blank as suffix": {"treat_whitespace_as_suffix": True},
    "no pieces of blanks alone": {"allow_whitespace_only_pieces": False},
    "narrow alphabet": {"character_coverage": 0.98},
    "symbols": {
        "user_defined_symbols": [
            "<s2>", "def", "defx", "\u2581\u2581\u2581", "\n\n", "é", "x", "\u2581<AIX>", "ab", "abc", "bcd",
        ],
        "control_symbols": ["return", "\u2581<AIX-SPAN-PRE>", "☃", "~"],
    },
}  # fmt: skip
"""Name to what differs from EXACT; the compiled encoder serves all of them."""


@functools.cache
def training_text() -> str:
    """Half a megabyte of modules, a few other scripts among them."""
    text = "".join(path.read_text() for path in stdlib_files()[:40])
    return (
        text[:500_000]
        + " naïve café \u4f60\u597d\u4e16\u754c \u4f60\u597d \U0001f600\U0001f600 ~ \u2603 \u0416\u0443\u043a\u0438 "
        * 50
    )


def train(**options: object) -> sentencepiece.SentencePieceProcessor:
    """A model with EXACT's options but `options`."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(chunks(training_text())), model_writer=model, **(EXACT | options)
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


@functools.cache
def variant(name: str) -> sentencepiece.SentencePieceProcessor:
    """One of VARIANTS."""
    return train(**VARIANTS[name])


def varint(value: int) -> bytes:
    """Protocol-buffer varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | float) -> bytes:
    """One protocol-buffer field."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3) + varint(value)


def handmade(pieces: list[tuple[str, float]], extra: list[tuple[str, float, int]] = ()) -> bytes:
    """A serialized BPE model: <unk>, all byte pieces, `pieces` (text, score), `extra` (text, score, type)."""
    rows = [("<unk>", 0.0, 2), *((f"<0x{value:02X}>", 0.0, 6) for value in range(256))]
    rows += [(text, score, 1) for text, score in pieces] + list(extra)
    body = b"".join(field(1, field(1, text.encode()) + field(2, score) + field(3, kind)) for text, score, kind in rows)
    trainer = field(3, 2) + field(35, 1)  # model_type BPE, byte_fallback
    normalizer = field(1, b"identity") + field(3, 0) + field(4, 0) + field(5, 1)
    return body + field(2, trainer) + field(3, normalizer)
