"""Proof on real files that a tokenizer is exact, and that its Hugging Face form gives the same ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from aixmeg.errors import UserError
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer
from aixmeg.tokenizer.pieces import BOS, EOS, SPECIAL_PIECES, UNK

TRICKY = (
    "",
    "".join((UNK, BOS, EOS, *SPECIAL_PIECES.values())),
    " <AIX-SPAN-PRE>\u2581\u2581<0x0A>",
    "\ufeff  \t\t x\r\n\n\r \u00a0\u2028\0\U0001f600e\u0301",
)
"""Texts that corpora rarely hold: names of special pieces, U+2581, a byte order mark, rare blanks, NUL."""


@dataclass
class Checked:
    """What the check saw."""

    files: int = 0
    tokens: int = 0
    bytes: int = 0
    bytes_of: Counter[str] = field(default_factory=Counter)
    """Bytes by language."""
    tokens_of: Counter[str] = field(default_factory=Counter)
    """Tokens by language."""

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes of text that one id stands for."""
        return self.bytes / max(self.tokens, 1)


def check_folder(folder: Path, files: Iterable[tuple[str, str, str]]) -> Checked:
    """Encode real files with both forms of the tokenizer in `folder`.

    Args:
        folder: tokenizer.model and the Hugging Face files.
        files: (name, language, text) of each.

    Raises:
        UserError: a text does not come back, an id is a control id, or Hugging Face's ids differ; names the file.
    """
    from transformers import AutoTokenizer

    tokenizer = CodeTokenizer.from_folder(folder)
    hf = AutoTokenizer.from_pretrained(folder)
    result = Checked()
    for number, text in enumerate(TRICKY):
        _check_text(tokenizer, hf, f"built-in text {number}", text)
    for name, language, text in files:
        tokens, size = len(_check_text(tokenizer, hf, name, text)), len(text.encode())
        result.files += 1
        result.tokens += tokens
        result.bytes += size
        result.tokens_of[language] += tokens
        result.bytes_of[language] += size
    return result


def _check_text(tokenizer: CodeTokenizer, hf: object, name: str, text: str) -> list[int]:
    """Check one text; return its ids."""
    ids = tokenizer.encode(text)
    if tokenizer.decode(ids) != text:  # decode refuses control ids
        raise UserError(f"{tokenizer.model_file} does not give {name} back; please report this file")
    theirs = hf.encode(text, add_special_tokens=False)  # pyright: ignore[reportAttributeAccessIssue]
    if theirs != ids:
        where = next(
            (i for i, (a, b) in enumerate(zip(ids, theirs, strict=False)) if a != b), min(len(ids), len(theirs))
        )
        raise UserError(
            f"{name}: SentencePiece and the Hugging Face tokenizer differ from token {where} on "
            f"({ids[where : where + 4]} and {theirs[where : where + 4]}); please report this file, "
            "another tokenizer.seed or vocab_size may avoid it"
        )
    return ids
