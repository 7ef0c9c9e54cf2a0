"""The drawn funnel and the histogram: lengths in proportion, whatever the numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from aixmeg.report.corpus_page.funnel import Stage, funnel_drawing
from aixmeg.report.histogram import histogram, power_of_two


def drawn(found: float, *stages: Stage) -> ElementTree.Element:
    made = funnel_drawing(found, stages, unit=lambda value: f"{value:g}", label='what "is" left')
    return ElementTree.fromstring(made)  # also proves that it is well-formed


def trunk(tree: ElementTree.Element) -> list[int]:
    return [int(rect.get("width", "")) for rect in tree.iter("rect")]


def test_the_trunk_narrows_in_proportion():
    tree = drawn(200, Stage("first", 100, 100), Stage("<second>", 50, 50))
    whole = trunk(tree)[0]
    assert trunk(tree) == [whole, whole // 2, whole // 4, whole // 4]
    assert [text.text for text in tree.iter("text")] == [
        "found", "200", "first", "−100 · 50.0\u00a0%", "<second>", "−50 · 25.0\u00a0%", "kept", "50 · 25.0\u00a0%",
    ]  # fmt: skip
    assert tree.get("aria-label") == 'what "is" left'


def test_a_branch_begins_where_the_trunk_ends():
    tree = drawn(200, Stage("first", 100, 100), Stage("second", 50, 50))
    widths = trunk(tree)
    starts = [re.match(r"M(\d+) (\d+)L(\d+) ", path.get("d", "")) for path in tree.iter("path")]
    edges = [tuple(map(int, found.groups())) for found in starts if found]
    assert edges == [(widths[1], 50, widths[0]), (widths[2], 100, widths[1])]


def thickness(path: ElementTree.Element) -> float:
    found = re.search(r"L4950 ([\d.]+)C", path.get("d", "")), re.search(r" 4950 ([\d.]+)L", path.get("d", ""))
    assert found[0] and found[1]
    return float(found[0][1]) - float(found[1][1])


def test_more_is_thicker_and_little_is_seen():
    tree = drawn(1e9, Stage("much", 3e8, 7e8), Stage("some", 1e8, 6e8), Stage("one", 1, 6e8 - 1))
    much, some, one = map(thickness, tree.iter("path"))
    assert much == pytest.approx(3 * some)
    assert one == 2.0


@pytest.mark.parametrize("left", [-5.0, 0.0, 1e300, 3.0])
def test_nonsense_stays_inside(left):
    tree = drawn(2, Stage("a", 1e300, left), Stage("b", -3, left))
    assert all(1 <= width <= 4600 for width in trunk(tree))
    assert trunk(tree) == sorted(trunk(tree), reverse=True)
    assert not any("-" in path.get("d", "") for path in tree.iter("path"))
    assert all(2.0 <= thickness(path) <= 30.0 for path in tree.iter("path"))


def test_without_stages_all_is_kept():
    assert [text.text for text in drawn(7).iter("text")] == ["found", "7", "kept", "7 · 100.0\u00a0%"]


def test_columns_are_as_high_as_their_counts():
    tree = ElementTree.fromstring(histogram(10, [30.0, 0.0, 60.0], noun="file", label="sizes"))
    heights = [float(rect.get("height", "").rstrip("%")) for rect in tree.iter("rect")]
    assert heights[0] == pytest.approx(heights[2] / 2, abs=0.01)
    assert heights[1] == 0
    titles = [title.text for title in tree.iter("title")]
    assert titles[0] == "above 512\u00a0B, up to 1\u00a0KiB: 30\u00a0files"
    texts = [text.text for text in tree.iter("text")]
    assert texts[-1] == "4\u00a0KiB"  # the right edge of the last of three columns


@pytest.mark.parametrize("number", [1, 2, 25, 63])
def test_labels_have_room(number):
    tree = ElementTree.fromstring(histogram(0, [1.0] * number, noun="file", label="sizes"))
    below = [text for text in tree.iter("text") if text.get("y") == "100%" and text.get("dy") == "18"]
    assert 1 <= len(below) <= 6


def test_powers_of_two_are_written_with_their_units():
    assert [power_of_two(one) for one in (0, 9, 10, 25, 62)] == [
        "1\u00a0B", "512\u00a0B", "1\u00a0KiB", "32\u00a0MiB", "4\u00a0EiB",
    ]  # fmt: skip
