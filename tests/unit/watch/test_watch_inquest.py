"""Who is named as the first cause, whatever order the ranks' words arrive in."""

import pytest

from aixmeg.watch.inquest import ANSWER, SETTLE, Inquest

WHO = {"host": "node", "pid": 1, "gpu": None}
BROKEN = {"kind": "raised", "secondary": True, "cause": "RuntimeError: Connection closed by peer"}
OWN = {"kind": "raised", "secondary": False, "cause": "KeyError: 3"}


def inquest(ranks=4, silence=10.0, hang=20.0):
    found = Inquest(ranks, silence_timeout=silence, hang_timeout=hang, now=0.0)
    for rank in range(ranks):
        found.heard(rank, {"who": WHO, "step": 7, "phase": "forward_backward", "age": 0.0}, 0.0)
    return found


def named(failure):
    return (failure.kind, failure.rank, failure.others)


def test_nothing_has_happened():
    assert inquest().verdict(9.9) is None


def test_broken_connections_before_and_after_a_death_do_not_hide_it():
    one = inquest()
    one.heard(0, {"error": BROKEN}, 1.0)
    one.closed(2, 1.1)
    one.heard(3, {"error": BROKEN}, 1.2)
    assert one.verdict(1.1 + SETTLE / 2) is None
    failure = one.verdict(1.1 + SETTLE)
    assert named(failure) == ("died", 2, ())
    assert (failure.step, failure.phase, failure.host) == (7, "step", "node")


def test_ranks_that_die_within_a_moment_died_together():
    one = inquest()
    one.closed(3, 1.0)
    one.closed(2, 1.1)
    assert named(one.verdict(2.0)) == ("died", 3, (2,))


def test_an_error_of_its_own_is_first_although_others_broke_before():
    one = inquest()
    one.heard(0, {"error": BROKEN}, 1.0)
    one.heard(1, {"error": OWN, "step": 8, "phase": "data"}, 1.1)
    one.closed(1, 1.2)
    failure = one.verdict(2.0)
    assert named(failure) == ("raised", 1, ())
    assert (failure.step, failure.phase, failure.cause) == (8, "data", "KeyError: 3")


def test_what_all_find_out_for_themselves_is_the_first_ranks_to_say():
    one = inquest(2)
    same = {"kind": "refused", "secondary": False, "cause": "the loss is nan"}
    one.heard(1, {"error": same}, 1.0)
    one.heard(0, {"error": same}, 1.2)
    assert named(one.verdict(1.2)) == ("refused", 0, (1,))


def test_silence_is_a_loss_only_when_it_lasts():
    one = inquest()
    for rank in (0, 1, 3):
        one.heard(rank, {}, 9.0)
    assert one.verdict(10.0) is None
    assert named(one.verdict(10.1)) == ("lost", 2, ())


def test_who_was_not_listened_to_is_not_lost():
    one = inquest()
    one.excuse(30.0)
    assert one.verdict(31.0) is None


def test_broken_connections_wait_for_the_one_who_falls_silent():
    one = inquest()
    one.heard(0, {"error": BROKEN}, 5.0)
    one.heard(1, {"error": BROKEN}, 5.0)
    one.heard(3, {}, 5.0)
    assert one.verdict(9.0) is None
    assert named(one.verdict(10.1)) == ("lost", 2, ())


def test_broken_connections_of_all_ranks_are_the_cause():
    one = inquest(2)
    one.heard(0, {"error": BROKEN}, 5.2)
    one.heard(1, {"error": BROKEN}, 5.1)
    assert one.verdict(5.2) is None
    assert named(one.verdict(5.1 + SETTLE)) == ("raised", 1, ())


def test_ended_well_is_no_death():
    one = inquest()
    for rank in range(4):
        one.heard(rank, {"done": True}, 1.0)
        one.closed(rank, 1.1)
    assert one.verdict(100.0) is None
    assert not one.hanging(100.0)


@pytest.mark.parametrize(
    ("phase", "limit"), [("data", 20.0), ("evaluation", 160.0), ("checkpoint", 160.0), ("start", 160.0)]
)
def test_standing_still_is_a_hang_after_the_time_of_its_phase(phase, limit):
    one = inquest(silence=0.0)
    one.heard(2, {"step": 7, "phase": phase, "age": limit - 1}, 0.0)
    assert [one.hanging(moment) for moment in (0.9, 1.1)] == [False, True]


PLACES = {
    "deaf": ([(7, "data", True), None, (7, "data", False)], (1, ()), "did not say"),
    "behind in steps": ([(7, "data", True), (6, "end", True), (7, "data", True)], (1, ()), "wait for it"),
    "behind in parts": (
        [(7, "forward_backward", True), (7, "forward_backward", True), (7, "data", False)], (2, ()), "wait for it"),
    "outside the collective": (
        [(7, "forward_backward", True), (7, "forward_backward", False), (7, "forward_backward", True)], (1, ()),
        "in a collective"),
    "all alike": ([(7, "forward_backward", True)] * 3, (0, ()), "the longest"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_the_culprit_of_a_hang(name):
    places, (rank, others), words = PLACES[name]
    one = inquest(3, silence=0.0)
    one.asked = 30.0
    for number, place in enumerate(places):
        if place is not None:
            step, phase, collective = place
            answer = {"frame": "read (disk.py:3)", "collective": collective}
            one.heard(number, {"step": step, "phase": phase, "age": 30.0 - number, "answer": answer}, 30.0)
    moment = 30.0 if None not in places else 30.0 + ANSWER
    assert one.verdict(moment - 0.1) is None or None not in places
    failure = one.verdict(moment)
    assert named(failure) == ("hung", rank, others)
    assert words in failure.cause
    assert ("read (disk.py:3)" in failure.cause) == (places[rank] is not None)
