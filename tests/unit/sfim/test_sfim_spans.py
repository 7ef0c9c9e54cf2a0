"""Candidate nodes: complete, inside no error, spread over sizes; deep and broken files."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from aixmeg.languages import LANGUAGES, parser
from aixmeg.sfim.choose import Draws
from aixmeg.sfim.spans import MIN_MIDDLE_BYTES, Span, _Candidates, draw_span

PYTHON = parser(LANGUAGES["python"])


def draw(source: bytes, language: str = "python", *, longest: int = 4096, seed: int = 0) -> Span | None:
    draws = Draws(seed, 0, "document")
    return draw_span(parser(LANGUAGES[language]), source, max_middle_bytes=longest, uniform=draws.uniform)


def is_complete_node(source: bytes, language: str, span: Span) -> bool:
    """Looks the node up in a new tree, by another call than the draw's, and checks its ancestors for errors."""
    node = parser(LANGUAGES[language]).parse(source).root_node.descendant_for_byte_range(span.start, span.end)
    if node is None or (node.start_byte, node.end_byte) != (span.start, span.end) or node.has_error:
        return False
    while node is not None:
        if node.is_error:
            return False
        node = node.parent
    return True


SOURCE = b"""import os

# a heading

def first(a):
    if a > 1:
        return os.path.join("caf\xc3\xa9", a)
    return None


class Second:
    value = [1, 2, 3]

    def method(self):
        for item in self.value:
            print(item)
        return len(self.value)
"""


def test_draws_are_complete_nodes_of_many_kinds():
    spans = [span for seed in range(400) if (span := draw(SOURCE, seed=seed))]
    assert len(spans) == 400
    assert all(is_complete_node(SOURCE, "python", span) for span in spans)
    kinds = {span.kind for span in spans}
    assert {"function_definition", "class_definition", "if_statement", "call", "for_statement", "block"} <= kinds
    assert "module" not in kinds  # the whole file leaves no context
    assert "comment" not in kinds  # this one stands alone
    assert min(span.end - span.start for span in spans) >= MIN_MIDDLE_BYTES


def test_longest_middle_is_obeyed():
    lengths = {span.end - span.start for seed in range(200) if (span := draw(SOURCE, longest=40, seed=seed))}
    assert max(lengths) <= 40
    assert len(lengths) > 5


def test_sizes_are_spread_over_orders_of_magnitude():
    """A uniform draw of nodes has its median at an identifier's size; ours reaches statements and functions."""
    sizes = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]:
        span = draw(path.read_bytes(), seed=len(sizes))
        sizes.append(span.end - span.start if span else 0)
    assert 50 < np.median(sizes) < 1000
    assert np.percentile(sizes, 20) < 40
    assert np.percentile(sizes, 85) > 400


BROKEN = b"""def fine(a):
    return a + 1

def half(b):
    c = b $ 12345
    return [b, c]

def broken(b:
    return ((b +
"""


def test_nodes_in_or_over_errors_are_no_candidates():
    candidates = _Candidates(PYTHON.parse(BROKEN), BROKEN, 4096)
    found = candidates.everywhere()
    assert any(BROKEN[span.start : span.end].startswith(b"def fine") for span in found)
    assert not any(BROKEN[span.start : span.end].startswith(b"def half") for span in found)
    assert any(BROKEN[span.start : span.end] == b"return [b, c]" for span in found)
    assert all(is_complete_node(BROKEN, "python", span) for span in found)
    for place in range(len(BROKEN)):
        around = candidates.around(place)
        assert set(around) <= set(found)
        assert all(span.start <= place < span.end for span in around)


def test_listing_every_node_equals_a_walk_over_children():
    tree = PYTHON.parse(SOURCE)
    expected, stack = set(), [tree.root_node]
    while stack:
        node = stack.pop()
        stack += node.children
        if node.is_named and node.end_byte - node.start_byte >= MIN_MIDDLE_BYTES and node.parent is not None:
            expected.add((node.start_byte, node.end_byte))
    found = _Candidates(tree, SOURCE, 4096).everywhere()
    assert {(span.start, span.end) for span in found} == expected


@pytest.mark.parametrize("source", [b"x", b"", b"   \n\n", b"((((((", b"abcdef", b"\n\nabcdef\n\n"])
def test_no_candidate(source):
    assert draw(source) is None


def test_a_comment_alone_is_found_when_there_is_nothing_else():
    source = b"x\n# a comment, and one-letter names\ny\n"
    assert draw(source) == Span(2, 35, "comment")


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("python", b"x = " + b"(" * 10_000 + b"1234" + b")" * 10_000 + b"\n"),
        ("javascript", b"let x = " + b"[" * 10_000 + b"1234" + b"]" * 10_000 + b";\n"),
        ("c++", b"int x = " + b"(" * 10_000 + b"1234" + b")" * 10_000 + b";\n"),
    ],
)
def test_ten_thousand_nested_parentheses(language, source):
    span = draw(source, language)
    assert span is not None
    node = parser(LANGUAGES[language]).parse(source).root_node.descendant_for_byte_range(span.start, span.end)
    assert node is not None
    assert (node.start_byte, node.end_byte) == (span.start, span.end)
    assert _Candidates(parser(LANGUAGES[language]).parse(source), source, 4096).everywhere()
