"""The parity matrix: every layout, with and without recomputation, ends where one rank ends; the 7B model too, at a
sixteenth of its width."""

import itertools

import pytest
from launch import run_function

from aixmeg.train import parity


@pytest.fixture(scope="module")
def alone():
    (course,) = run_function(parity.train_course, 1, parity.alone())
    assert course.losses[-1] < course.losses[0] - 0.5, "the model must learn, or equal losses prove nothing"
    return course


@pytest.mark.timeout(1800)  # no speed: on a busy machine many ranks share few cores
@pytest.mark.parametrize(("ranks", "recompute"), itertools.product((2, 3, 4), parity.RECOMPUTE))
def test_layouts_train_as_one_rank(alone, ranks, recompute):
    cases = [case for case in parity.cases(ranks) if case.recompute == recompute]
    if not cases:
        assert recompute == "selective"
        return
    compare(cases, alone)


@pytest.fixture(scope="module")
def alone_7b():
    (course,) = run_function(parity.train_course, 1, parity.alone(parity.NARROW_7B))
    return course


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ranks", [2, 4])
def test_7b_at_a_sixteenth_of_its_width_trains_in_every_layout(alone_7b, ranks):
    cases = parity.cases(ranks, parity.NARROW_7B)
    assert len(cases) >= 6
    compare(cases, alone_7b)


def compare(cases, alone):
    """Every rank tells the same losses, and those of one rank."""
    ranks = cases[0].ranks
    of_ranks = run_function(parity.train_courses, ranks, cases, timeout=1700)
    for case, *courses in zip(cases, *of_ranks, strict=True):
        losses = [course.losses for course in courses]
        assert losses == losses[:1] * ranks, f"{case}: ranks disagree on the loss"
        distance = parity.distance(courses[0], alone)
        assert distance.agrees, (case, distance)
