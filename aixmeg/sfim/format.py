"""Layout of examples and prompts; the same code serves the dataset and generation.

    NTP  <s> header text </s>
    PSM  <s> PRE header prefix POST suffix MIDDLE middle </s>
    SPM  <s> PRE POST suffix MIDDLE header prefix middle </s>

Header (the path and language lines), prefix, middle and suffix are each encoded as plain text and the special pieces
are put in by id: text that spells one stays text, and every example can be taken apart again. (aiXcoder-7B's forms.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class SpecialPieces(Protocol):
    """Ids of the pieces that mark the parts of an infilling example."""

    @property
    def prefix(self) -> int:
        """`▁<AIX-SPAN-PRE>`."""
        ...

    @property
    def suffix(self) -> int:
        """`▁<AIX-SPAN-POST>`."""
        ...

    @property
    def middle(self) -> int:
        """`▁<AIX-SPAN-MIDDLE>`."""
        ...


class Tokenizer(Protocol):
    """What this module needs of `aixmeg.tokenizer.CodeTokenizer`."""

    bos: int
    eos: int

    @property
    def special(self) -> SpecialPieces:
        """Ids of the special pieces."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, never a control id."""
        ...

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Bytes of plain ids; UserError at a control id."""
        ...


@dataclass(frozen=True)
class Example:
    """Token ids from `<s>` to `</s>`."""

    ids: list[int]
    middle_offset: int
    """Position of the middle's first token; -1 for NTP."""
    middle_length: int
    """Tokens of the middle, without `</s>`; 0 for NTP."""


@dataclass(frozen=True)
class Parts:
    """An example taken apart; an NTP example is all prefix."""

    header: bytes
    prefix: bytes
    middle: bytes
    suffix: bytes

    @property
    def file(self) -> bytes:
        """The source file's bytes."""
        return self.prefix + self.middle + self.suffix


def psm_prompt(tok: Tokenizer, *, header: str, prefix: str, suffix: str) -> list[int]:
    """Prefix, then suffix; the model continues with the middle and `</s>`."""
    before = [tok.bos, tok.special.prefix, *tok.encode(header), *tok.encode(prefix)]
    return [*before, tok.special.suffix, *tok.encode(suffix), tok.special.middle]


def spm_prompt(tok: Tokenizer, *, header: str, prefix: str, suffix: str) -> list[int]:
    """Suffix, then prefix; the model continues the prefix with the middle and `</s>`."""
    before = [tok.bos, tok.special.prefix, tok.special.suffix, *tok.encode(suffix)]
    return [*before, tok.special.middle, *tok.encode(header), *tok.encode(prefix)]


def ntp_example(tok: Tokenizer, *, header: str, text: str) -> Example:
    """A whole file, left to right."""
    return Example([tok.bos, *tok.encode(header), *tok.encode(text), tok.eos], -1, 0)


def psm_example(tok: Tokenizer, *, header: str, prefix: str, middle: str, suffix: str) -> Example:
    """Prefix, suffix, middle."""
    return _close(tok, psm_prompt(tok, header=header, prefix=prefix, suffix=suffix), middle)


def spm_example(tok: Tokenizer, *, header: str, prefix: str, middle: str, suffix: str) -> Example:
    """Suffix, prefix, middle."""
    return _close(tok, spm_prompt(tok, header=header, prefix=prefix, suffix=suffix), middle)


def _close(tok: Tokenizer, prompt: list[int], middle: str) -> Example:
    answer = tok.encode(middle)
    return Example([*prompt, *answer, tok.eos], len(prompt), len(answer))


def undo(ids: Sequence[int], tok: Tokenizer, *, header: str, middle_offset: int = -1) -> Parts:
    """Take an example apart.

    Args:
        ids: from `<s>` to `</s>`.
        tok: the tokenizer that made them.
        header: the file's header lines, which the ids must begin with.
        middle_offset: as in `Example`; it alone tells prefix from middle in SPM.

    Raises:
        ValueError: `ids` have none of the three forms, or another header.
    """
    ids = list(ids)
    if len(ids) < 2 or ids[0] != tok.bos or ids[-1] != tok.eos:
        raise ValueError(f"an example goes from <s>={tok.bos} to </s>={tok.eos}; these {len(ids)} ids do not")
    end = len(ids) - 1
    suffix: list[int] = []
    if middle_offset < 0:
        before, middle = ids[1:end], []
    else:
        if ids[1] != tok.special.prefix:
            raise ValueError(f"id {ids[1]} after <s> is not the prefix piece {tok.special.prefix}")
        post, mark = ids.index(tok.special.suffix), ids.index(tok.special.middle)
        suffix, middle = ids[post + 1 : mark], ids[middle_offset:end]
        # One of the two is empty: PSM has header and prefix in the first place, SPM in the second.
        before = ids[2:post] + ids[mark + 1 : middle_offset]
    text = tok.decode_bytes(before)
    if not text.startswith(header.encode()):
        raise ValueError(f"the text {text[:80]!r} does not begin with the header {header!r}")
    cut = len(header.encode())
    return Parts(text[:cut], text[cut:], tok.decode_bytes(middle), tok.decode_bytes(suffix))
