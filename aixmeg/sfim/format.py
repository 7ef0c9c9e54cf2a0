"""Layout of examples and prompts; the same code serves the dataset and generation.

    NTP  <s> header text </s>
    PSM  <s> PRE header prefix POST suffix MIDDLE middle </s>
    SPM  <s> PRE POST suffix MIDDLE header prefix middle </s>

Header (the path and language lines), prefix, middle and suffix are each encoded as plain text and the special pieces
are put in by id: text that spells one stays text, and every example can be taken apart again. (aiXcoder-7B's forms.)

An example may hold several files of one repository: all but the last are plain text, each followed by one line break,
the last has one of the forms above, and `<s>` stands before the first and `</s>` behind the last alone:

    <s> header text "\n" header text "\n" … PRE header prefix POST suffix MIDDLE middle </s>
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np

SEPARATOR: Final = b"\n"
"""Behind each plain file in front of another file of the same example."""


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
    """Token ids of one file: from `<s>` to `</s>`, where it is not one of several in an example."""

    ids: np.ndarray
    """int32 [tokens]"""
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


def ntp_example(tok: Tokenizer, *, text: np.ndarray, first: bool = True, last: bool = True) -> Example:
    """A whole file, left to right.

    Args:
        tok: gives the control ids.
        text: ids of header and text.
        first: the file begins its example, with `<s>`.
        last: it ends it, with `</s>`.
    """
    return Example(_joined([tok.bos] * first, text, [tok.eos] * last), -1, 0)


def infill_example(
    tok: Tokenizer,
    mode: Literal["psm", "spm"],
    *,
    header: np.ndarray,
    prefix: np.ndarray,
    middle: np.ndarray,
    suffix: np.ndarray,
    first: bool = True,
) -> Example:
    """A file with a middle, the last one of its example; the parts are ids, `first` as for `ntp_example`."""
    special, begin = tok.special, [tok.bos] * first
    if mode == "psm":
        parts = (
            [*begin, special.prefix],
            header,
            prefix,
            [special.suffix],
            suffix,
            [special.middle],
            middle,
            [tok.eos],
        )
    else:
        parts = ([*begin, special.prefix, special.suffix], suffix, [special.middle], header, prefix, middle, [tok.eos])
    ids = _joined(*parts)
    return Example(ids, len(ids) - 1 - len(middle), len(middle))


def _joined(*parts: Sequence[int] | np.ndarray) -> np.ndarray:
    ids = np.empty(sum(map(len, parts)), np.int32)
    place = 0
    for part in parts:
        ids[place : place + len(part)] = part
        place += len(part)
    return ids


def undo(
    ids: Sequence[int] | np.ndarray,
    tok: Tokenizer,
    *,
    header: str,
    middle_offset: int = -1,
    first: bool = True,
    last: bool = True,
) -> Parts:
    """Take a file's example, or its part of one, apart.

    Args:
        ids: of this file: with `<s>` if it is the first of its example, with `</s>` if it is the last.
        tok: the tokenizer that made them.
        header: the file's header lines, which the ids must begin with.
        middle_offset: as in `Example`; it alone tells prefix from middle in SPM.
        first: nothing stands before this file in its example.
        last: nothing stands behind it.

    Raises:
        ValueError: `ids` have none of the three forms, or another header.
    """
    ids = list(ids)
    begin, end = int(first), len(ids) - int(last)
    if end < begin or (first and ids[0] != tok.bos) or (last and ids[-1] != tok.eos):
        raise ValueError(f"an example goes from <s>={tok.bos} to </s>={tok.eos}; these {len(ids)} ids do not")
    suffix: list[int] = []
    if middle_offset < 0:
        before, middle = ids[begin:end], []
    else:
        if ids[begin] != tok.special.prefix:
            raise ValueError(f"id {ids[begin]} at {begin} is not the prefix piece {tok.special.prefix}")
        post, mark = ids.index(tok.special.suffix), ids.index(tok.special.middle)
        suffix, middle = ids[post + 1 : mark], ids[middle_offset:end]
        # One of the two is empty: PSM has header and prefix in the first place, SPM in the second.
        before = ids[begin + 1 : post] + ids[mark + 1 : middle_offset]
    text = tok.decode_bytes(before)
    if not text.startswith(header.encode()):
        raise ValueError(f"the text {text[:80]!r} does not begin with the header {header!r}")
    if not last:
        if not text.endswith(SEPARATOR):
            raise ValueError(f"the text {text[-80:]!r} in front of another file does not end with {SEPARATOR!r}")
        text = text[: -len(SEPARATOR)]
    cut = len(header.encode())
    return Parts(text[:cut], text[cut:], tok.decode_bytes(middle), tok.decode_bytes(suffix))
