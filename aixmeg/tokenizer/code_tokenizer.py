"""Text to ids and back, exactly, with a SentencePiece model.

Three things separate this from a bare `SentencePieceProcessor`: text never turns into a control id, whatever it
spells; U+2581 in source text survives (SentencePiece reads it as a space); what cannot round-trip is refused at load.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import sentencepiece

from aixmeg.errors import UserError
from aixmeg.tokenizer.encoder import describe, open_encoder
from aixmeg.tokenizer.pieces import BOS, EOS, SPECIAL_PIECES, WORD_BOUNDARY, SpecialIds, byte_piece

MODEL_FILE = "tokenizer.model"
_PROBE = "  two  runs\t\tof\n\r\n  blanks \ufb01 \u2460 e\u0301 \uff21 \u00a0 12345 \U0001f600  "
"""Text that every lossy normaliser changes: leading, doubled and trailing blanks, ligature, combining mark."""


class CodeTokenizer:
    """A SentencePiece model that is known to round-trip code.

    Attributes:
        model_file: where it was read from.
        vocab_size: number of ids, control and byte pieces included.
        bos: id of `<s>`.
        eos: id of `</s>`.
        special: ids of the six special pieces.
        sha256: hexadecimal digest of the model file's bytes.
        encoder: what encodes: `compiled`, or `SentencePiece (why)`.
    """

    def __init__(self, model_file: Path) -> None:
        """Load and check `model_file`.

        Raises:
            UserError: unreadable, not a SentencePiece model, without the special or byte pieces, or lossy.
        """
        self.model_file = Path(model_file)
        try:
            blob = self.model_file.read_bytes()
        except OSError as error:
            raise UserError(
                f"cannot read the tokenizer {self.model_file}: {error.strerror or error}; "
                "make one with `aixmeg tokenizer train`"
            ) from error
        self.sha256 = hashlib.sha256(blob).hexdigest()
        self._processor = _load(self.model_file, blob)
        self.vocab_size = self._processor.vocab_size()
        self._pieces: list[str] = self._processor.id_to_piece(list(range(self.vocab_size)))
        self.bos, self.eos, self.special = self._find_control_ids()
        self._bytes = [self._bytes_of(token) for token in range(self.vocab_size)]
        self._check_byte_pieces()
        self._encoder = open_encoder(self._processor, split_boundary=True)
        self.encoder = describe(self._encoder)
        self._check_lossless()

    @classmethod
    def from_folder(cls, folder: Path) -> CodeTokenizer:
        """Load `folder/tokenizer.model`."""
        return cls(Path(folder) / MODEL_FILE)

    def __reduce__(self) -> tuple[type[CodeTokenizer], tuple[Path]]:
        """Worker processes load the file again."""
        return type(self), (self.model_file,)

    def encode(self, text: str) -> list[int]:
        """Ids of plain `text`; `decode(encode(text)) == text`, and no id is a control id, whatever `text` spells.

        Raises:
            UserError: `text` holds a lone surrogate, which no UTF-8 file can.
        """
        try:
            data = text.encode()
        except UnicodeEncodeError as bad:
            raise UserError(
                f"text holds the lone surrogate {text[bad.start]!r} at character {bad.start}, which is no valid "
                "Unicode; read files as strict UTF-8"
            ) from bad
        return self._encoder.encode(data).tolist()

    def encode_bytes(self, data: bytes) -> np.ndarray:
        """`encode` of UTF-8 text, int32 [ids].

        Raises:
            UserError: `data` is no UTF-8 (`aixmeg.tokenizer.reference.NotUtf8Error`, which holds the place).
        """
        return self._encoder.encode(data)

    def encode_slices(self, data: bytes, slices: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Ids of data[start:stop] for each (start, stop), each encoded as a text of its own, without copies of it.

        Raises:
            UserError: a slice is no UTF-8, as where it begins inside a character, or lies outside `data`.
        """
        ids, ends = self._encoder.encode_bounds(data, np.array(slices, np.int64).reshape(-1, 2))
        return [ids[start:stop] for start, stop in pairwise((0, *ends.tolist()))]

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int], *, special: Literal["error", "skip", "visible"] = "error") -> str:
        """Text of `ids`.

        Args:
            ids: token ids, each in [0, vocab_size).
            special: what to do with `<unk>`, `<s>`, `</s>` and the special pieces: refuse, drop, or show their names.

        Returns:
            The text; U+FFFD stands for bytes that are no UTF-8, as where a multi-byte character was cut.

        Raises:
            UserError: an id out of range, or a control id with `special="error"`.
        """
        return self.decode_bytes(ids, special=special).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int], *, special: Literal["error", "skip", "visible"] = "error") -> bytes:
        """Exact bytes of `ids`, also where they end inside a multi-byte character; see `decode`."""
        table, parts = self._bytes, []
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise UserError(
                    f"token id {token} is outside the vocabulary of {self.vocab_size}; "
                    "use the tokenizer that the ids were made with"
                )
            part = table[token]
            if part is not None:
                parts.append(part)
            elif special == "error":
                raise UserError(
                    f"token id {token} is {self._pieces[token]}, which stands for no text; "
                    "cut it off, or decode with special='skip' or special='visible'"
                )
            elif special == "visible":
                parts.append(self._pieces[token].encode())
        return b"".join(parts)

    def piece(self, token: int) -> str:
        """Name of one id, U+2581 standing for a blank."""
        return self._pieces[token]

    def is_control(self, token: int) -> bool:
        """Whether `token` stands for no text: `<unk>`, `<s>`, `</s>` and the special pieces."""
        return self._bytes[token] is None

    def is_text(self, token: int) -> bool:
        """Whether `token` is a piece of text: neither a control piece nor a single byte."""
        return self._bytes[token] is not None and not self._processor.is_byte(token)

    def score(self, token: int) -> float:
        """SentencePiece's score: BPE joins the pair whose result has the highest one."""
        return self._processor.get_score(token)

    def _find_control_ids(self) -> tuple[int, int, SpecialIds]:
        """Ids of `<s>`, `</s>` and the special pieces."""
        ids = {piece: self._processor.piece_to_id(piece) for piece in (BOS, EOS, *SPECIAL_PIECES.values())}
        missing = [piece for piece, token in ids.items() if self._pieces[token] != piece]
        if missing:
            raise UserError(
                f"{self.model_file} lacks the special pieces {', '.join(missing)}; "
                "train one with `aixmeg tokenizer train`, which adds them"
            )
        textual = [piece for piece, token in ids.items() if not self._processor.is_control(token)]
        if textual:
            raise UserError(
                f"{self.model_file} holds {', '.join(textual)} as ordinary or user-defined pieces, which source text "
                "can spell; they must be control symbols, as `aixmeg tokenizer train` makes them"
            )
        special = SpecialIds(**{field: ids[piece] for field, piece in SPECIAL_PIECES.items()})
        return ids[BOS], ids[EOS], special

    def _check_byte_pieces(self) -> None:
        """Refuse a model in which not every byte has a piece."""
        ids = [self._processor.piece_to_id(byte_piece(value)) for value in range(256)]
        if not all(self._processor.is_byte(token) for token in ids):
            raise UserError(
                f"{self.model_file} has no byte pieces <0x00> to <0xFF>, so characters outside its alphabet are lost; "
                "train it with byte_fallback, as `aixmeg tokenizer train` does"
            )

    def _bytes_of(self, token: int) -> bytes | None:
        """What `token` decodes to, None for a control id."""
        if self._processor.is_control(token) or self._processor.is_unknown(token):
            return None
        if self._processor.is_byte(token):
            return bytes([int(self._pieces[token][1:-1], 16)])
        return self._pieces[token].replace(WORD_BOUNDARY, " ").encode()

    def _check_lossless(self) -> None:
        """Refuse a model whose normaliser changes text, by trying it."""
        back = self.decode(self.encode(_PROBE), special="visible")
        if back != _PROBE:
            raise UserError(
                f"{self.model_file} turns {_PROBE!r} into {back!r}: its normaliser changes code; train it with "
                "normalization_rule_name=identity, remove_extra_whitespaces=False, add_dummy_prefix=False, "
                "as `aixmeg tokenizer train` does"
            )


def _load(model_file: Path, blob: bytes) -> sentencepiece.SentencePieceProcessor:
    """Parse a SentencePiece model; an empty file parses to nothing at all, so it is refused first."""
    try:
        if not blob:
            raise RuntimeError("the file is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=blob)
    except RuntimeError as error:
        raise UserError(
            f"{model_file} is not a SentencePiece model ({error}); make one with `aixmeg tokenizer train`"
        ) from error
