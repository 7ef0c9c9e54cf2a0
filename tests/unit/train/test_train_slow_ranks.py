"""A slow rank is told of when it becomes slow, and with its cost when it no longer is."""

import pytest

from aixmeg.train.slow_ranks import SlowRanks
from aixmeg.watch.slow import compare


def window(step, *own):
    return compare([{"step": step, "stage": 0, "own": time, "data": 0.01} for time in own], steps=50, share=0.2)


def test_told_once_with_its_cost():
    said, told = [], []
    slow = SlowRanks(said.append, lambda event, step, **fields: told.append((event, step, fields)))
    assert slow.fields() == {}
    slow.compared(window(50, 0.1, 0.1, 0.1))
    assert (said, told) == ([], [])
    slow.compared(window(100, 0.1, 0.1, 0.2))
    slow.compared(window(150, 0.1, 0.1, 0.3))
    assert slow.fields() == {"rank_seconds_median": 0.1, "rank_seconds_slowest": 0.3, "slowest_rank": 2}
    slow.compared(window(200, 0.3, 0.1, 0.1))
    slow.stop(210)
    assert [line[:20] for line in said] == ["rank 2 is slow: its ", "rank 0 is slow: its ", "rank 2 is no longer ",
                                            "rank 0 was slow to t"]  # fmt: skip
    assert [(event, step, fields["rank"], fields["first"]) for event, step, fields in told] == [
        ("slow", 100, 2, 51), ("slow", 200, 0, 151), ("no_longer_slow", 200, 2, 51), ("no_longer_slow", 210, 0, 151),
    ]  # fmt: skip
    assert [fields.get("cost") for _, _, fields in told[2:]] == [pytest.approx(15.0), pytest.approx(10.0)]
