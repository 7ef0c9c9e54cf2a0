from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import Config, CorpusConfig
from aixmeg.config.corpus import RankConfig
from aixmeg.config.validate import conflicts
from aixmeg.corpus.rank import add_file, is_test_file, merge, percentiles, rank
from aixmeg.corpus.rank_metadata import read_metadata
from aixmeg.corpus.sources import RawDocument
from aixmeg.errors import UserError

NAN = float("nan")


def ranked(signals: dict[str, list[float]], names: list[str] | None = None, **settings):
    count = len(next(iter(signals.values())))
    names = names or [f"r{number:03d}" for number in range(count)]
    return rank(names, {name: np.array(values) for name, values in signals.items()}, RankConfig(**settings))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_percentiles_against_counting(values: list[int]) -> None:
    expected = [(sum(o < v for o in values) + sum(o == v for o in values) / 2) / len(values) for v in values]
    assert percentiles(np.array(values, float)).tolist() == pytest.approx(expected)


def test_score_is_the_mean_of_the_ranks_of_the_signals_there_are() -> None:
    found = ranked({"stars": [1, 1000, NAN, NAN], "commits": [5, NAN, 7, NAN], "test_files": [NAN] * 4})
    assert found.score.tolist() == [(0.25 + 0.25) / 2, 0.75, 0.75, 0.5]
    assert found.signals == ("stars", "commits")
    assert found.missing.tolist() == [0, 2, 1, 3]
    assert found.report["left_out"] == ["test_files"]
    assert found.report["without"] == {"stars": 2, "commits": 2}
    assert found.report["without_any"] == 1


def test_the_lowest_share_is_dropped_and_names_decide_ties() -> None:
    names = [f"r{number:03d}" for number in range(30)]
    stars = [0.0] * 10 + [float(number) for number in range(20)]
    found = ranked({"stars": stars}, names)
    assert [names[index] for index in np.flatnonzero(found.dropped)] == ["r008", "r009", "r010"]
    assert found.report["dropped"] == 3
    assert sorted(found.worse.tolist()) == list(range(30))
    assert found.worse[29] == 0
    assert found.worse[10] == 29  # of the eleven with no star, the last name


@pytest.mark.parametrize("count", [9, 10, 19, 20, 70, 101])
def test_number_dropped(count: int) -> None:
    found = ranked({"stars": [float(number) for number in range(count)]})
    assert found.dropped.sum() == (0 if count < 10 else count // 10)
    assert (found.report["note"] is None) == (count >= 10)
    assert np.flatnonzero(found.dropped).tolist() == list(range(found.dropped.sum()))


def test_nothing_is_dropped_where_nothing_is_known() -> None:
    found = ranked({"stars": [NAN] * 50})
    assert not found.dropped.any()
    assert "any of the signals" in found.report["note"]
    assert not ranked({"stars": list(range(50))}, enabled=False).dropped.any()
    assert not ranked({"stars": list(range(50))}, drop_share=0.0).dropped.any()
    assert rank([], {}, RankConfig()).report["repositories"] == 0


def test_the_order_of_the_repositories_does_not_matter() -> None:
    numbers = random.Random(0)
    stars = [numbers.choice([0.0, 1.0, 2.0, NAN, 50.0]) for _ in range(60)]
    names = [f"r{number:03d}" for number in range(60)]
    first = ranked({"stars": stars}, names)
    order = list(range(60))
    numbers.shuffle(order)
    second = ranked({"stars": [stars[index] for index in order]}, [names[index] for index in order])
    assert second.worse.tolist() == first.worse[order].tolist()
    assert second.dropped.tolist() == first.dropped[order].tolist()


@pytest.mark.parametrize(
    "path",
    ["tests/a.py", "test_a.py", "a/b_test.go", "src/test/java/ATest.java", "TestA.java", "x.test.ts", "x.spec.jsx",
     "__tests__/x.js", "spec/a_spec.rb", "ATests.cs", "t/basic.t", "tests/it.rs", "lib/a_unittest.cc", "FooSpec.scala",
     "a_SUITE.erl", "a.bats", "UnitTests/a.cpp"],
)  # fmt: skip
def test_test_files(path: str) -> None:
    assert is_test_file(path)


@pytest.mark.parametrize(
    "path",
    ["a.py", "latest.py", "contest.go", "attest/x.py", "tests/data.json", "tests/README.md", "Fastest.java",
     "src/testing.py", "lib/commands/test.js", "is-calendar-spec.js", "Testament.java", "test.md", ""],
)  # fmt: skip
def test_other_files(path: str) -> None:
    assert not is_test_file(path)


def test_signals_of_files_and_ranges_add_up() -> None:
    first: dict[str, float] = {}
    for path, extra in (("tests/a.py", {"stars": 3}), ("b.py", {"stars": 9}), ("c_test.go", {})):
        add_file(first, RawDocument(repository="r", path=path, size=1, extra=extra))
    assert first == {"test_files": 2.0, "stars": 9.0}
    merge(first, {"test_files": 4.0, "stars": 5.0, "commits": 7.0})
    assert first == {"test_files": 6.0, "stars": 9.0, "commits": 7.0}


METADATA = {
    "a.json": json.dumps({"o/a": {"stars": 5, "commits": 9}, "o/b": {"stargazers_count": 7}}),
    "b.json": json.dumps(
        [{"full_name": "o/a", "stars": 5, "commit_count": 9}, {"repo": "o/b", "stars": 7, "ok": True}]
    ),
    "c.jsonl": '{"repository": "o/a", "stars": 5, "commits": 9}\n\n{"repo_name": "o/b", "stars": 7, "commits": null}\n',
    "d.csv": "\ufeffrepository,stars,commits,licence\no/a,5,9,MIT\no/b,7,,\n",
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(METADATA[name])
    assert read_metadata(tmp_path / name) == {"o/a": {"stars": 5, "commits": 9}, "o/b": {"stars": 7}}
    assert read_metadata(tmp_path / name, {"o/b"}) == {"o/b": {"stars": 7}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.json", "{", "not valid .json"), ("a.json", "3", "holds int"), ("a.json", "[3]", "record 1: 3 is no record"),
     ("a.jsonl", '{"stars": 1}', "line 1: no repository"), ("a.csv", "name,stars\na,-1\n",
     "stars=-1 must be zero or more"),
     ("a.csv", "name,stars\na,inf\n", "stars=inf must be"), ("a.csv", b"name,stars\n\xff,1\n", "not valid .csv"),
     ("a.json", '{"a": 3}', "record 1: 3 is no record"), ("a.json", "[" * 100_000, "not valid .json")],
)  # fmt: skip
def test_wrong_metadata_is_a_user_error(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_metadata(tmp_path / name)


def test_missing_metadata_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read corpus.rank.metadata .*No such file"):
        read_metadata(tmp_path / "nowhere.csv")


def test_configuration_rules() -> None:
    found = conflicts(Config(corpus=CorpusConfig(rank=RankConfig(drop_share=1.0, signals=(), min_repositories=0))))
    assert len(found) == 3
