from __future__ import annotations

import hashlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from aixmeg.corpus.select import Readable, select
from aixmeg.corpus.tally import Tally


def readable(repository: str, path: str, content: str) -> Readable:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Readable(repository, path, "python", len(content), digest)


def selected(files: list[Readable], budget: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    tally = Tally()
    kept = [f"{file.repository}/{file.path}" for file in select(files, max_repository_bytes=budget, tally=tally)]
    return kept, tally.examples


def test_first_copy_is_kept_within_and_across_repositories() -> None:
    files = [readable("a", "1", "xx"), readable("a", "2", "xx"), readable("b", "1", "xx"), readable("b", "2", "yy")]
    assert selected(files) == (["a/1", "b/2"], {"exact_duplicate": ["a/2", "b/1"]})


def test_budget_in_path_order() -> None:
    files = [readable("a", str(i), content) for i, content in enumerate(["1", "22", "333", "4", "55"])]
    kept, dropped = selected([*files, readable("b", "0", "666666")], budget=6)
    assert kept == ["a/0", "a/1", "a/2", "b/0"]
    assert dropped == {"over_repository_budget": ["a/3", "a/4"]}


def test_a_file_that_does_not_fit_leaves_room_for_the_next() -> None:
    files = [readable("a", "0", "x" * 9), readable("a", "1", "yy")]
    assert selected(files, budget=8) == (["a/1"], {"over_repository_budget": ["a/0"]})


def test_content_dropped_for_budget_is_kept_where_there_is_room() -> None:
    files = [readable("a", "0", "11"), readable("a", "1", "22"), readable("b", "0", "22")]
    assert selected(files, budget=2) == (["a/0", "b/0"], {"over_repository_budget": ["a/1"]})


def test_a_duplicate_uses_no_budget() -> None:
    files = [readable("a", "0", "11"), readable("a", "1", "11"), readable("a", "2", "22")]
    assert selected(files, budget=4) == (["a/0", "a/2"], {"exact_duplicate": ["a/1"]})


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.text("xy", min_size=1, max_size=3)), max_size=30),
    st.integers(0, 8),
)
def test_properties(contents: list[tuple[str, str]], budget: int) -> None:
    contents.sort(key=lambda item: item[0])
    files = [readable(repository, f"{index:02d}", text) for index, (repository, text) in enumerate(contents)]
    tally = Tally()
    kept = list(select(files, max_repository_bytes=budget, tally=tally))
    assert len(files) == len(kept) + sum(count.files for count in tally.dropped.values())
    assert len({file.sha256 for file in kept}) == len(kept)
    for _, group in itertools.groupby(kept, key=lambda file: file.repository):
        assert not budget or sum(file.bytes for file in group) <= budget
    if not budget:  # every content survives, in its first place
        assert {file.sha256 for file in kept} == {file.sha256 for file in files}
        first = {file.sha256: file for file in reversed(files)}
        assert all(first[file.sha256] is file for file in kept)
