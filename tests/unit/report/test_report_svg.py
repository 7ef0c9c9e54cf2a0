import re
from xml.etree import ElementTree

import numpy as np
import pytest

from aixmeg.report.scale import Axis, linear_axis, step_axis
from aixmeg.report.series import Series
from aixmeg.report.svg import Reference, bar, line_chart

NAN = float("nan")


def chart(y, *, x=None, references=(), marks=False, y_axis=None):
    y = np.array(y, dtype=np.float64)
    x = np.arange(len(y), dtype=np.float64) if x is None else np.array(x, dtype=np.float64)
    series = [Series("a <b>", "ntp", x, y, marks=marks), Series("c", "train", x, y, faint=True)]
    made = line_chart(
        series,
        x_axis=step_axis(x),
        y_axis=y_axis or linear_axis(y),
        label='say "this"',
        unit=lambda value: f"{value:.2f}",
        references=references,
        height=100,
    )
    return ElementTree.fromstring(made)  # also proves that it is well-formed


def paths(tree):
    return [element.get("d") for element in tree.iter("path")]


def test_curve_runs_from_corner_to_corner():
    tree = chart([0, 2, 4], y_axis=Axis(0, 4, (0, 4)))
    assert paths(tree)[0] == "M0 10000L5000 5000L10000 0"


def test_gaps_interrupt_and_lonely_points_stay():
    tree = chart([0, 1, NAN, 3, NAN, float("inf"), 4], y_axis=Axis(0, 4, (0, 4)))
    assert paths(tree)[0] == "M0 10000L1667 7500M5000 2500L5000 2500M10000 0L10000 0"


@pytest.mark.parametrize("y", [[], [NAN], [NAN, NAN], [3.0], [0.0, 0.0], [1e300, -1e300], [5e-324, 0]])
def test_degenerate_series_are_drawn(y):
    tree = chart(y)
    assert bool(paths(tree)) == bool(np.any(np.isfinite(y)))


def test_grid_labels_and_spoken_label():
    tree = chart([0, 4], x=[100, 200], y_axis=Axis(0, 4, (0, 2, 4)))
    texts = [element.text for element in tree.iter("text")]
    assert texts[:3] == ["0", "2", "4"]
    assert {"100", "200", "step"} <= set(texts)
    assert tree.find(".//svg[@role='img']").get("aria-label") == 'say "this"'


def test_close_reference_labels_do_not_overlap():
    lines = [Reference("high", "ntp", 3.02), Reference("low", "middle", 3.0), Reference("outside", "ntp", 9.0)]
    tree = chart([0, 4], references=lines, y_axis=Axis(0, 4, (0, 4)))
    labels = {t.text: float(t.get("y")) for t in tree.iter("text") if t.get("class") == "reference-label"}
    assert set(labels) == {"high 3.02", "low 3.00"}
    assert labels["low 3.00"] - labels["high 3.02"] >= 15
    assert labels["low 3.00"] > 25 + 10  # below its own line, not across it
    dashed = [line for line in tree.iter("line") if "reference" in (line.get("class") or "")]
    assert [line.get("y1") for line in dashed] == ["24.5%", "25%"]


def test_legend_names_curves_and_marks_are_dots():
    tree = chart([0, 1, 2], marks=True)
    assert ["".join(li.itertext()) for li in tree.iter("li")] == ["a <b>", "c"]
    assert len(tree.findall(".//div[@class='plot']//circle")) == 3


def test_tooltip_leaves_out_gaps_and_background():
    tree = chart([0.125, NAN, 1])
    data = tree.find(".//div[@class='plot']").get("data-series")
    assert data.count('"name"') == 1
    assert re.findall(r'\[(\d+),"(\d)","([\d.]+)"\]', data) == [("0", "0", "0.12"), ("1000", "2", "1.00")]


@pytest.mark.parametrize(
    ("share", "width"), [(0.5, "50%"), (1.7, "100%"), (-1, "0%"), (0, "0%"), (1e-9, "1%"), (1 / 3, "33.33%")]
)
def test_bar_stays_in_its_track(share, width):
    assert ElementTree.fromstring(bar(share)).find("rect").get("width") == width
