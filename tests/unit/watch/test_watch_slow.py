"""Which ranks are called slow, and which are not."""

import pytest

from aixmeg.watch.slow import Comparer, OwnTimes, compare


def windows(own, data=None, stages=None):
    data = data or [1.0] * len(own)
    stages = stages or [0] * len(own)
    return [{"step": 50, "stage": stage, "own": whole, "data": part}
            for whole, part, stage in zip(own, data, stages, strict=True)]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "slow"),
    [
        (windows([10.0, 10.1, 9.9, 10.0]), {}),
        (windows([10.0, 10.1, 9.9, 11.9]), {}),  # below a fifth
        (windows([10.0, 10.1, 9.9, 12.2]), {3: 2.2}),
        (windows([10.0, 12.2]), {1: 2.2}),  # of two ranks the slower one
        (windows([10.0]), {}),
        (windows([8.0, 10.0, 12.0, 14.0, 16.0]), {}),  # all differ: within three times the usual distance
        (windows([8.0, 10.0, 12.0, 14.0, 30.0]), {4: 18.0}),
        (windows([10.0, 10.0, 20.0, 20.0], stages=[0, 0, 1, 1]), {}),  # stages have work of their own
        (windows([10.0, 15.0, 20.0, 20.0], stages=[0, 0, 1, 1]), {1: 5.0}),
        # Two tensor-parallel ranks wait for each other: only the data tells them apart.
        (windows([13.0, 13.0], data=[1.0, 4.0]), {1: 3.0}),
        (windows([10.0, 10.0, 13.0, 13.0], data=[1.0, 1.0, 1.0, 4.0]), {3: 3.0}),
        (windows([10.0, 10.0, 13.0, 13.0]), {2: 3.0, 3: 3.0}),  # nothing does
    ],
)
def test_rule(given, slow):
    assert compare(given, steps=50, share=0.2).slow == pytest.approx(slow)


def test_single_slow_steps_do_not_count():
    times = OwnTimes(5, stage=1)
    for step in range(1, 5):
        assert times.add(step, 1.0, 9.0 if step % 2 else 900.0) is None
    assert times.add(5, 1.0, 9.0) == {"step": 5, "stage": 1, "data": 1.0, "own": 10.0}
    assert times.add(6, 1.0, 9.0) is None


def test_windows_of_one_step_are_compared_whenever_they_come():
    comparer = Comparer(2, window=5, share=0.2)
    early, late = windows([10.0, 20.0])
    assert comparer.add(1, late) is None
    assert comparer.add(1, {**late, "step": 55}) is None
    found = comparer.add(0, early)
    assert (found.step, found.own, found.slow) == (50, (10.0, 20.0), {1: 10.0})
    assert found.line(1) == (
        "rank 1 is slow: its own part of a step took 20000.0 ms, 10000.0 more than the median rank's, over the 5 steps "
        "to 50 (data 1000.0 ms, forward and backward 19000.0 ms)"
    )
