import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aixmeg.report.scale import linear_axis, log_axis, step_axis

FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), max_size=20)


@example([1.0, 5e-324], log_axis)  # the least float has a logarithm, but 10 to its floor is 0
@example([9007199254740994.0], step_axis)  # adding 1 changes nothing
@given(FLOATS, st.sampled_from([linear_axis, log_axis, step_axis]))
def test_whatever_the_values_the_axis_can_be_drawn(values, make):
    values = np.array(values, dtype=np.float64)
    axis = make(values)
    assert axis.low < axis.high
    assert 1 <= len(axis.ticks) <= 12
    places = axis.place(np.array(axis.ticks))
    assert np.all((places >= -1e-9) & (places <= 1 + 1e-9))
    assert np.all(np.diff(places) > 0)
    shown = values[np.isfinite(values) & (np.abs(values) < 1e100)]
    shown = shown[shown > 1e-100] if axis.log else shown
    places = axis.place(shown)
    assert np.all((places >= -1e-6) & (places <= 1 + 1e-6))


def test_linear_ticks_are_round():
    assert linear_axis(np.array([2.93, 9.04])).ticks == (2, 4, 6, 8, 10)
    assert linear_axis(np.array([0.0, 3e-4])).ticks == (0.0, 1e-4, 2e-4, 3e-4)
    assert linear_axis(np.array([4000.0, 5000.0]), zero=True).ticks == (0, 2000, 4000, 6000)


def test_a_single_value_lies_inside():
    axis = linear_axis(np.array([5.0]))
    assert axis.low < 5 < axis.high


def test_log_axis_spans_decades_and_skips_what_has_no_logarithm():
    axis = log_axis(np.array([0.0, math.nan, 0.02, 700.0]))
    assert axis.log
    assert axis.ticks == (0.01, 0.1, 1, 10, 100, 1000)
    assert np.isnan(axis.place(np.array([0.0, -1.0, math.nan, math.inf]))).all()
    assert axis.place(np.array([0.01, 1000.0])) == pytest.approx([0, 1])


def test_log_axis_of_near_values_is_linear():
    assert not log_axis(np.array([1.0, 1.4])).log


@pytest.mark.parametrize(
    ("steps", "low", "ticks"),
    [
        ([1, 300], 0, (0, 100, 200, 300)),  # from the beginning
        ([5000, 5400], 5000, (5000, 5100, 5200, 5300, 5400)),  # resumed elsewhere
        ([7], 6, (6, 7, 8)),
        ([1, 2, 3], 1, (1, 2, 3)),  # no tick at 1.5
    ],
)
def test_step_axis(steps, low, ticks):
    axis = step_axis(np.array(steps, dtype=np.float64))
    assert (axis.low, axis.ticks) == (low, ticks)
