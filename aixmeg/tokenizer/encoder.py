"""Which encoder serves a model, and what to tell about it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import sentencepiece

from aixmeg.errors import UserError
from aixmeg.tokenizer.native import NativeEncoder, native_encoder
from aixmeg.tokenizer.reference import ReferenceEncoder


class Encoder(Protocol):
    """UTF-8 bytes to ids."""

    def encode(self, data: bytes) -> np.ndarray:
        """Ids of a text, int32 [ids]."""
        ...

    def encode_bounds(self, data: bytes, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids int32 [total] of the slices int64 [slices, 2] of `data`, and int64 [slices], where each slice's end."""
        ...


def open_encoder(processor: sentencepiece.SentencePieceProcessor, *, split_boundary: bool) -> Encoder:
    """The compiled encoder where it gives the model's ids, else SentencePiece itself.

    Args:
        processor: the model.
        split_boundary: U+2581 in text becomes its three byte pieces; else it is a blank, as for SentencePiece.

    Raises:
        UserError: the compiled helpers are not built.
    """
    made = native_encoder(processor, split_boundary=split_boundary)
    if isinstance(made, NativeEncoder):
        return made
    return ReferenceEncoder(processor, split_boundary=split_boundary, reason=made)


def describe(encoder: Encoder) -> str:
    """What encodes, for people: `compiled`, or `SentencePiece (why)`."""
    return f"SentencePiece ({encoder.reason})" if isinstance(encoder, ReferenceEncoder) else "compiled"


def encoder_row() -> tuple[str, str, str]:
    """Row for `aixmeg doctor`: part, what was found (empty: missing), advice."""
    from aixmeg.native.library import data_library

    part = "token encoder"
    try:
        data_library()
    except UserError as error:
        return part, "", str(error)
    return part, f"compiled, SentencePiece {sentencepiece.__version__} for models that are not plain BPE", ""
