"""Names of the pieces that carry meaning, as aiXcoder-7B publishes them, and the ids a tokenizer gives them."""

from __future__ import annotations

from dataclasses import dataclass

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
WORD_BOUNDARY = "\u2581"
"""SentencePiece's internal form of a space; as a character of source text it needs a path of its own."""

SPECIAL_PIECES = {
    "prefix": "\u2581<AIX-SPAN-PRE>",
    "suffix": "\u2581<AIX-SPAN-POST>",
    "middle": "\u2581<AIX-SPAN-MIDDLE>",
    "user": "\u2581<AIX-USER>",
    "assistant": "\u2581<AIX-ASSISTANT>",
    "end_turn": "\u2581<AIX-END-TURN>",
}
"""Field of `SpecialIds` to piece. The published tokenizer's ids are not known: ids are always looked up by piece."""


def byte_piece(value: int) -> str:
    """The piece that stands for one byte, `<0x00>` to `<0xFF>`."""
    return f"<0x{value:02X}>"


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Ids of the special pieces."""

    prefix: int
    """▁<AIX-SPAN-PRE>: the prefix follows."""
    suffix: int
    """▁<AIX-SPAN-POST>: the suffix follows."""
    middle: int
    """▁<AIX-SPAN-MIDDLE>: the middle follows."""
    user: int
    """▁<AIX-USER>: a user's turn follows."""
    assistant: int
    """▁<AIX-ASSISTANT>: the model's turn follows."""
    end_turn: int
    """▁<AIX-END-TURN>: the turn is over."""
