"""Encoding with SentencePiece itself, for models that the compiled encoder leaves to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import sentencepiece

from aixmeg.errors import UserError
from aixmeg.tokenizer.pieces import WORD_BOUNDARY, byte_piece

LONG_TEXT: Final = 16_384
"""Characters above which a text is encoded in parts: SentencePiece does 4.5 MB/s on small files, 2.4 on 1 MB ones."""
_PART: Final = re.compile(rf"(?s:.{{{LONG_TEXT}}}[^ ]*)")


class NotUtf8Error(UserError):
    """Text that is no UTF-8; `position` is the offset of the first bad byte."""

    def __init__(self, position: int) -> None:
        super().__init__(f"byte {position} of the text is no valid UTF-8; read files as strict UTF-8")
        self.position = position


class ReferenceEncoder:
    """The interface of `NativeEncoder`, by SentencePiece.

    Attributes:
        reason: why the compiled encoder does not serve this model.
    """

    def __init__(
        self, processor: sentencepiece.SentencePieceProcessor, *, split_boundary: bool, reason: str = "asked for"
    ) -> None:
        """Encode with `processor`; `split_boundary` as in `native_encoder`, for models with byte pieces."""
        self.reason = reason
        self._processor = processor
        self._boundary_ids: list[int] | None = None
        if split_boundary:
            self._boundary_ids = [processor.piece_to_id(byte_piece(value)) for value in WORD_BOUNDARY.encode()]
            self._may_cut = not any(map(self._reaches_over_boundary, range(processor.vocab_size())))

    def encode(self, data: bytes) -> np.ndarray:
        """Ids of UTF-8 text, int32 [ids]."""
        return self._encode(data, 0, len(data))

    def encode_bounds(self, data: bytes, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids of many slices of one buffer; see `NativeEncoder.encode_bounds`."""
        pairs = np.asarray(bounds, np.int64).reshape(-1, 2).tolist()
        if any(not 0 <= start <= stop <= len(data) for start, stop in pairs):
            raise UserError("a slice lies outside the text, or ends before it begins")
        parts = [self._encode(data, start, stop) for start, stop in pairs]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return np.concatenate([np.empty(0, np.int32), *parts]), ends

    def _encode(self, data: bytes, start: int, stop: int) -> np.ndarray:
        try:
            text = str(data[start:stop], "utf-8")
        except UnicodeDecodeError as error:
            raise NotUtf8Error(start + error.start) from error
        if self._boundary_ids is None:
            return np.array(self._processor.encode(text), np.int32)
        ids: list[int] = []
        for number, segment in enumerate(text.split(WORD_BOUNDARY)):
            if number:
                ids += self._boundary_ids
            for part in self._parts(segment):
                ids += self._processor.encode(part)
        return np.array(ids, np.int32)

    def _parts(self, text: str) -> Iterator[str]:
        """Cut a long text at places that no piece reaches over."""
        if not self._may_cut or len(text) <= LONG_TEXT:
            return iter((text,))
        # A match ends before a blank or at the end of the text; one that ends in a blank too stopped inside a run of
        # blanks, where a piece may lie: no cut there.
        cuts = [0, *(match.end() for match in _PART.finditer(text) if text[match.end() - 1] != " "), len(text)]
        return (text[start:end] for start, end in pairwise(cuts))

    def _reaches_over_boundary(self, token: int) -> bool:
        """Whether a piece of text holds a blank after a non-blank; where none does, a cut before a blank is exact."""
        processor = self._processor
        if processor.is_control(token) or processor.is_unknown(token) or processor.is_byte(token):
            return False
        return WORD_BOUNDARY in processor.id_to_piece(token).lstrip(WORD_BOUNDARY)
