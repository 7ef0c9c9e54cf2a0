"""Which held-out windows a validation reads."""

import numpy as np
import pytest

from aixmeg.data.stream import KIND_MIDDLE, KIND_NTP
from aixmeg.train.evaluate import held_out_windows


class Split:
    """A held-out split of which only the windows with labels are known."""

    def __init__(self, text, middles):
        self.found = {KIND_NTP: np.asarray(text, np.int64), KIND_MIDDLE: np.asarray(middles, np.int64)}

    def windows_of(self, kind):
        return self.found[kind]


def test_rare_middles_are_always_among_them():
    chosen = held_out_windows(Split(range(10_000), [17, 4243]), 8)
    assert {17, 4243} <= set(chosen)
    assert len(chosen) == 6  # four with text, and all middles that there are


def test_each_half_is_spread_over_the_split():
    chosen = held_out_windows(Split(range(0, 800, 2), range(1, 800, 2)), 8)
    assert chosen == [0, 1, 200, 201, 400, 401, 600, 601]


@pytest.mark.parametrize(("text", "middles", "expected"), [([3], [], [3]), ([], [5, 9], [5, 9]), ([2], [2], [2])])
def test_few_windows(text, middles, expected):
    assert held_out_windows(Split(text, middles), 8) == expected


def test_one_window_is_enough_for_each_kind():
    assert held_out_windows(Split([1, 2], [3, 4]), 1) == [1, 3]
