"""Prompts that fit the model's context: far lines are dropped, near ones kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aixmeg.errors import UserError
from aixmeg.generate.source import Surroundings
from aixmeg.sfim.format import psm_prompt, spm_prompt

if TYPE_CHECKING:
    from aixmeg.tokenizer import CodeTokenizer

PREFIX_SHARE = 0.6
"""Share of a context that is too small given to the prefix; what one side leaves free goes to the other."""
CHARACTERS_PER_TOKEN = 64
"""More than the longest piece has (SentencePiece's limit is 16 by default), so a longer text cannot fit."""


@dataclass(frozen=True)
class Prompt:
    """Token ids, and what was left out to make them fit."""

    ids: list[int]
    dropped_above: int
    """Lines (the first kept one may be cut) dropped from the start of the prefix."""
    dropped_below: int
    """Lines dropped from the end of the suffix."""

    @property
    def note(self) -> str:
        """One sentence for the user; empty when everything fitted."""
        if not self.dropped_above and not self.dropped_below:
            return ""
        return (
            f"the file is longer than the model's context: {self.dropped_above} lines at its start and "
            f"{self.dropped_below} at its end were left out"
        )


def build_prompt(
    tokenizer: CodeTokenizer,
    around: Surroundings,
    *,
    mode: Literal["psm", "spm"],
    context: int,
    max_new_tokens: int,
) -> Prompt:
    """The infilling prompt, at most `context - max_new_tokens` tokens long.

    Raises:
        UserError: max_new_tokens leaves no room for a prompt.
    """
    assemble = psm_prompt if mode == "psm" else spm_prompt
    limit = context - max_new_tokens
    if len(around.prefix) + len(around.suffix) <= CHARACTERS_PER_TOKEN * limit:  # else not worth encoding
        whole = assemble(tokenizer, header=around.header, prefix=around.prefix, suffix=around.suffix)
        if len(whole) <= limit:
            return Prompt(whole, 0, 0)
    frame = len(assemble(tokenizer, header=around.header, prefix="", suffix=""))
    room = limit - frame
    while room > 0:
        before, after = _share(tokenizer, around, room)
        ids = assemble(tokenizer, header=around.header, prefix=before.text, suffix=after.text)
        if len(ids) <= limit:
            return Prompt(ids, before.dropped, after.dropped)
        room -= len(ids) - limit  # pieces that spanned a line end count more when the lines are encoded apart
    raise UserError(
        f"max_new_tokens={max_new_tokens} leaves {max(limit, 0)} of the model's {context} tokens for the prompt, whose "
        f"frame alone takes {frame}; choose at most {max(context - 2 * frame, 1)}"
    )


def _lines(text: str) -> list[str]:
    r"""Lines with their "\n"; not str.splitlines, which also cuts at form feeds and U+2028."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


@dataclass(frozen=True)
class _Kept:
    text: str
    tokens: int
    dropped: int


def _share(tokenizer: CodeTokenizer, around: Surroundings, room: int) -> tuple[_Kept, _Kept]:
    """Divide `room` tokens: each side its share, then each side what the other left."""
    above, below = _lines(around.prefix), _lines(around.suffix)
    for_prefix = int(room * PREFIX_SHARE)
    after = _nearest(tokenizer, below, room - for_prefix, end="start")
    before = _nearest(tokenizer, above, room - after.tokens, end="end")
    if before.tokens < for_prefix:
        after = _nearest(tokenizer, below, room - before.tokens, end="start")
    return before, after


def _nearest(tokenizer: CodeTokenizer, lines: Sequence[str], room: int, *, end: Literal["start", "end"]) -> _Kept:
    """As many whole lines as fit, from the end of the prefix or the start of the suffix.

    When not even the nearest line fits, the part of it next to the cursor is kept.
    """
    ordered = list(lines) if end == "start" else list(reversed(lines))
    used, kept = 0, 0
    for line in ordered:
        cost = len(tokenizer.encode(line))
        if used + cost > room:
            break
        used, kept = used + cost, kept + 1
    if kept == 0 and ordered and room > 0:
        ids = tokenizer.encode(ordered[0])
        part = ids[:room] if end == "start" else ids[-room:]
        # the cut may fall inside a character that is spelled in bytes: its rest is dropped
        return _Kept(tokenizer.decode_bytes(part).decode("utf-8", "ignore"), len(part), len(ordered))
    near = ordered[:kept] if end == "start" else list(reversed(ordered[:kept]))
    return _Kept("".join(near), used, len(ordered) - kept)
