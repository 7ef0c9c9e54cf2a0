"""Middles that need no syntax tree: a random span, whole lines."""

from __future__ import annotations

from aixmeg.sfim.nodes import Uniform
from aixmeg.sfim.view import Span, is_cut


def random_span(source: bytes, max_middle_bytes: int, uniform: Uniform) -> Span:
    """A span between two random character boundaries at most `max_middle_bytes` apart; it may be empty.

    In a file no longer than that the boundaries are two independent uniform places.
    """
    one = int(uniform("one boundary") * (len(source) + 1))
    lowest, highest = max(0, one - max_middle_bytes), min(len(source), one + max_middle_bytes)
    other = lowest + int(uniform("other boundary") * (highest - lowest + 1))
    start, end = sorted((one, other))
    # Towards each other, so that the middle does not outgrow its limit.
    while not is_cut(source, start):
        start += 1
    while not is_cut(source, end):
        end -= 1
    return Span(start, max(start, end), "")


def line_span(source: bytes, max_middle_bytes: int, uniform: Uniform) -> Span | None:
    """Neighbouring whole lines with their ends, about as many bytes as a random span; None in a file of one line, or
    where the line that was drawn is too long or blank."""
    spread = random_span(source, max_middle_bytes, uniform)
    start = source.rfind(b"\n", 0, spread.start) + 1
    end = source.rfind(b"\n", start, spread.end) + 1
    if end <= start:  # inside one line: that line
        end = source.find(b"\n", spread.start) + 1 or len(source)
    text = source[start:end]
    if end - start > max_middle_bytes or not text.strip() or text.strip() == source.strip():
        return None
    return Span(start, end, "")
