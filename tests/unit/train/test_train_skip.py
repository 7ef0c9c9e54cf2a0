import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.errors import UserError
from aixmeg.train.skip import Skipped, append_event, merge, read_events, read_skipped

WINDOWS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda w: (w[0], w[0] + w[1])), max_size=6)


@given(WINDOWS, st.integers(0, 40), st.integers(0, 12))
def test_the_order_of_all_other_samples_stays(windows, start, count):
    left = [i for i in range(200) if not any(first <= i < stop for first, stop in windows)]
    skipped = merge(windows)
    assert [skipped.sample(position) for position in range(80)] == left[:80]
    assert list(skipped.samples(range(start, start + count))) == left[start : start + count]


def test_samples_without_a_hole_are_a_range():
    skipped = Skipped(((4, 8),))
    assert skipped.samples(range(0, 4)) == range(0, 4)
    assert skipped.samples(range(4, 8)) == range(8, 12)
    assert skipped.samples(range(2, 6)) == [2, 3, 8, 9]


def test_windows_are_merged():
    assert merge([[8, 12], [0, 2], [10, 14], [14, 15]]) == Skipped(((0, 2), (8, 15)))
    with pytest.raises(ValueError, match="ascending"):
        Skipped(((4, 8), (8, 9)))


def test_the_file_keeps_events_in_their_order(tmp_path):
    assert read_skipped(tmp_path) == Skipped()
    append_event(tmp_path, {"start": 8, "stop": 12, "step": 3, "loss": float("nan")})
    append_event(tmp_path, {"start": 4, "stop": 8, "step": 2})
    assert [event["step"] for event in read_events(tmp_path)] == [3, 2]
    assert read_skipped(tmp_path) == Skipped(((4, 12),))


@pytest.mark.parametrize("line", ['{"start": 4}', '{"start": 4, "stop": 4}', '{"start": -1, "stop": 4}', "[1, 2]", "{"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "skipped.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"skipped\.jsonl"):
        read_skipped(tmp_path)
