"""Source files to training examples: choice, header lines, token ids.

All calls to the tokenizer stand in `Encoder.slices`: header and text lie in one buffer whose slices are encoded apart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aixmeg.config import DataConfig
from aixmeg.corpus import SourceFile
from aixmeg.languages import LANGUAGES, header_lines
from aixmeg.sfim.choose import Choice, choose
from aixmeg.sfim.format import SEPARATOR, Example, infill_example, ntp_example
from aixmeg.syntax import SyntaxTree
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer


@functools.lru_cache(maxsize=64)
def header_of(language: str, path: str) -> str:
    """Header lines of a file; a language that the table does not list has none."""
    known = LANGUAGES.get(language)
    return "" if known is None else header_lines(known, path)


@dataclass(frozen=True)
class Input:
    """A file with what is needed to make its example."""

    source: SourceFile
    text: bytes
    """`source.text` as UTF-8."""
    stored: Callable[[], SyntaxTree | None] = lambda: None
    """Its syntax tree, where one was kept."""


@dataclass(frozen=True)
class Encoded:
    """One file's row: its ids and how they came about."""

    source: SourceFile
    example: Example
    choice: Choice
    place: int = 0
    """How many files stand before it in its example."""
    in_front: bool = False
    """Another file stands behind it."""


class Encoder:
    """Makes examples of files.

    Args:
        tokenizer: encodes the text.
        config: the data section.
    """

    def __init__(self, tokenizer: CodeTokenizer, config: DataConfig) -> None:
        self.tokenizer, self.config = tokenizer, config
        limits, longest = config.sfim, _longest_piece(tokenizer)
        # A token is 1 to `longest` bytes: between these lengths a middle need not be encoded to know that it fits.
        self._surely = range(limits.min_middle_tokens * longest, limits.max_middle_tokens + 1)

    def slices(self, data: bytes, bounds: Sequence[tuple[int, int]]) -> list[np.ndarray]:
        """Ids of slices [start, end) of UTF-8 text, each encoded as a text of its own: int32 each."""
        return self.tokenizer.encode_slices(data, bounds)

    def plain(self, file: Input, *, first: bool = True, last: bool = True) -> Example:
        """The file as plain text; with a line break behind it where another file follows in the example."""
        header = header_of(file.source.language, file.source.path).encode()
        data = header + file.text + (b"" if last else SEPARATOR)
        ids = self.slices(data, [(0, len(header)), (len(header), len(data))])
        return ntp_example(self.tokenizer, text=np.concatenate(ids), first=first, last=last)

    def choose(self, file: Input, *, infill: bool = False) -> Choice:
        """Choose the form of a file's example; with `infill` it has a middle, whatever `ntp_share` says."""
        source, limits = file.source, self.config.sfim

        def accept(start: int, end: int) -> bool:
            if end - start in self._surely:
                return True
            (ids,) = self.slices(file.text, [(start, end)])
            return limits.min_middle_tokens <= len(ids) <= limits.max_middle_tokens

        return choose(
            self.config, repository=source.repository, path=source.path, language=source.language, source=file.text,
            stored=file.stored, accept=accept, infill=infill,
        )  # fmt: skip

    def lay_out(self, file: Input, choice: Choice, *, place: int = 0) -> Encoded:
        """Encode a file in its chosen form; `place` files stand before it in its example, of which it is the last."""
        source, span = file.source, choice.span
        if span is None or choice.mode == "none":
            return Encoded(source, self.plain(file, first=place == 0), choice, place)
        header = header_of(source.language, source.path).encode()
        data, cut = header + file.text, len(header)
        start, end = cut + span.start, cut + span.end
        head, prefix, middle, suffix = self.slices(data, [(0, cut), (cut, start), (start, end), (end, len(data))])
        example = infill_example(
            self.tokenizer,
            choice.mode,
            header=head,
            prefix=prefix,
            middle=middle,
            suffix=suffix,
            first=place == 0,
        )
        return Encoded(source, example, choice, place)


@functools.lru_cache(maxsize=4)
def _longest_piece(tokenizer: CodeTokenizer) -> int:
    """Bytes of the longest text that one token stands for."""
    return max(len(tokenizer.decode_bytes([token], special="skip")) for token in range(tokenizer.vocab_size))
