"""Middles along the tree: complete, inside no error, spread over sizes; deep and broken files."""

from __future__ import annotations

import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from aixmeg.config.sfim import STRATEGIES, SfimConfig
from aixmeg.languages import LANGUAGES, parser
from aixmeg.sfim import nodes
from aixmeg.sfim.choose import Draws
from aixmeg.sfim.draw import Drawn, draw_middle
from aixmeg.sfim.view import Span, View
from aixmeg.syntax import SyntaxTree, parse


def tree_of(source: bytes, language: str = "python") -> SyntaxTree:
    return parse(LANGUAGES[language], source)


def draw(tree: SyntaxTree, *names: str, longest: int = 4096, seed: int = 0, least: int = 2, **options) -> Drawn | None:
    config = SfimConfig(strategies=dict.fromkeys(names or ("whole_node",), 1.0), min_middle_tokens=least)
    uniform = Draws(seed, 0, "document").uniform
    return draw_middle(tree, config, max_middle_bytes=longest, uniform=uniform, **options)


def spans(tree: SyntaxTree, *names: str, times: int = 200, **options) -> list[Span]:
    return [drawn.span for seed in range(times) if (drawn := draw(tree, *names, seed=seed, **options))]


def node_at(source: bytes, language: str, span: Span):
    """Looks the node up in a new tree, by another call than the draw's; None if it or one around it is an error."""
    node = parser(LANGUAGES[language]).parse(source).root_node.descendant_for_byte_range(span.start, span.end)
    if node is None or (node.start_byte, node.end_byte) != (span.start, span.end) or node.has_error:
        return None
    outer = node
    while outer is not None:
        if outer.is_error:
            return None
        outer = outer.parent
    return node


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
TREE = tree_of(SOURCE)


def test_whole_nodes_are_complete_and_of_many_kinds():
    found = spans(TREE, times=400)
    assert len(found) == 400
    assert all(node_at(SOURCE, "python", span) for span in found)
    kinds = {span.kind for span in found}
    assert {"function_definition", "class_definition", "if_statement", "call", "for_statement", "block"} <= kinds
    assert "module" not in kinds  # the whole file leaves no context
    assert "comment" not in kinds
    assert min(span.end - span.start for span in found) >= 2


def test_listing_every_node_equals_a_walk_over_children():
    root = parser(LANGUAGES["python"]).parse(SOURCE).root_node
    expected, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node.type != "comment":
            stack += node.children
            if node.is_named and node.end_byte - node.start_byte >= 2 and node.parent is not None:
                expected.add((node.start_byte, node.end_byte))
    view = View(TREE, min_bytes=2, max_bytes=4096)
    found = {(s.start, s.end) for i in range(3000) if (s := nodes.any_node(view, lambda _, n=i: n / 3000))}
    assert found == expected


def test_siblings_are_aligned_runs_of_two_or_more():
    counts = Counter()
    for span in spans(TREE, "siblings", times=300):
        first = parser(LANGUAGES["python"]).parse(SOURCE).root_node.descendant_for_byte_range(span.start, span.end)
        assert first is not None
        inside = [n for n in first.named_children if n.start_byte >= span.start and n.end_byte <= span.end]
        assert inside[0].start_byte == span.start
        assert inside[-1].end_byte == span.end
        assert inside[-1].type != "comment"
        assert len([n for n in inside if n.type != "comment"]) >= 2
        assert first.type == span.kind
        counts[len(inside)] += 1
    assert len(counts) >= 2


def test_tails_end_where_a_node_ends():
    ends = {int(end) for end in TREE.end}
    found = spans(TREE, "node_tail", times=300)
    assert len(found) == 300
    assert all(span.end in ends for span in found)
    assert len({span.start for span in found} - {int(start) for start in TREE.start}) > 50  # inside names, too
    for span in found:
        node = parser(LANGUAGES["python"]).parse(SOURCE).root_node.descendant_for_byte_range(span.start, span.end)
        while node is not None and not (node.start_byte < span.start and node.end_byte == span.end):
            node = node.parent
        assert node is not None
        SOURCE[span.start : span.end].decode()


def test_lines_are_whole_or_end_as_the_line_does():
    texts = {line.strip() for line in SOURCE.decode().split("\n")} - {"", "# a heading"}
    whole = 0
    for span in spans(TREE, "line", times=300):
        text = SOURCE[span.start : span.end].decode()
        assert any(line.endswith(text) for line in texts)
        whole += text in texts
    assert 100 < whole < 250


def test_empty_middles_stand_at_the_ends_of_lines_of_code():
    found = spans(TREE, "empty", times=300)
    assert len({span.start for span in found}) > 8
    for span in found:
        assert span.start == span.end
        assert SOURCE[span.end : span.end + 1] == b"\n"
        line = SOURCE[: span.end].rsplit(b"\n", 1)[-1]
        assert line.strip() and not line.strip().startswith(b"#")


def test_sizes_are_obeyed_in_bytes_and_by_the_callers_count():
    lengths = {span.end - span.start for name in STRATEGIES for span in spans(TREE, name, longest=40, least=5)}
    assert max(lengths) <= 40
    assert min(lengths - {0}) >= 5
    assert len(lengths) > 5

    def even(start: int, end: int) -> bool:
        return (end - start) % 2 == 0

    found = [drawn.span for seed in range(100) if (drawn := draw(TREE, "whole_node", seed=seed, accept=even))]
    assert len(found) > 80
    assert all(even(span.start, span.end) for span in found)
    assert draw(TREE, *STRATEGIES[:4], accept=lambda _start, _end: False) is None  # bounded, and no middle


def test_kinds_are_balanced():
    """Of all nodes in these files three in ten are identifiers; of the middles hardly any."""
    kinds, all_kinds, sizes = Counter(), Counter(), []
    for number, path in enumerate(sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]):
        tree = tree_of(path.read_bytes()[:8000])
        all_kinds.update(tree.kinds[kind] for kind in tree.kind[tree.flags & 1 != 0])
        for seed in range(5):
            if drawn := draw(tree, seed=1000 * seed + number, least=4):
                kinds[drawn.span.kind] += 1
                sizes.append(drawn.span.end - drawn.span.start)
    assert all_kinds["identifier"] > 0.25 * all_kinds.total()
    assert kinds["identifier"] < 0.1 * kinds.total()
    assert kinds["function_definition"] + kinds["class_definition"] + kinds["block"] > 0.15 * kinds.total()
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


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_in_at_or_around_an_error(name):
    tree = tree_of(BROKEN)
    errors = [(int(s), int(e)) for s, e, f in zip(tree.start, tree.end, tree.flags, strict=True) if f & 6]
    assert errors
    for span in spans(tree, name):
        assert all(end <= span.start or start >= span.end for start, end in errors if end > start)
        assert all(not span.start <= start <= span.end for start, end in errors if end == start)
    if name == "whole_node":
        texts = {BROKEN[span.start : span.end] for span in spans(tree, times=400)}
        assert b"return [b, c]" in texts
        assert any(text.startswith(b"def fine") for text in texts)


@pytest.mark.parametrize(
    "source", [b"x", b"", b"   \n\n", b"((((((", b"abcdef", b"\n\nabcdef\n\n", b"# nothing else\n"]
)
@pytest.mark.parametrize("name", STRATEGIES)
def test_no_middle(source, name):
    drawn = draw(tree_of(source), name, least=3)
    # A cursor may stand in the only name of a file.
    assert drawn is None or (name in ("node_tail", "line") and b"abc" in source) or (
        name == "empty" and source.endswith(b"\n")
    )  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
def test_carriage_returns_and_characters_stay_whole(name):
    source = SOURCE.replace(b"\n", b"\r\n").replace(b"item", "ïtém€".encode()).replace(b"1", "'😀'".encode())
    tree = tree_of(source)
    for span in spans(tree, name, times=60):
        for offset in (span.start, span.end):
            assert source[offset - 1 : offset + 1] != b"\r\n"
        assert source[: span.start].decode() + source[span.start : span.end].decode()


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("python", b"x = " + b"(" * 10_000 + b"1234" + b")" * 10_000 + b"\n"),
        ("javascript", b"let x = " + b"[" * 10_000 + b"1234" + b"]" * 10_000 + b";\n"),
        ("c++", b"int x = " + b"(" * 10_000 + b"1234" + b")" * 10_000 + b";\n"),
    ],
)
def test_ten_thousand_nested_parentheses(language, source):
    tree = tree_of(source, language)
    drawn = draw(tree)
    assert drawn is not None
    node = (
        parser(LANGUAGES[language]).parse(source).root_node.descendant_for_byte_range(drawn.span.start, drawn.span.end)
    )
    assert node is not None
    assert (node.start_byte, node.end_byte) == (drawn.span.start, drawn.span.end)
    for name in STRATEGIES:
        draw(tree, name)
