"""Files between the clean and the order phase, sorted in runs."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.corpus import spill
from aixmeg.corpus.spill import SpillReader, SpillWriter, entries_between, shard_bounds

PLACES = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1])
FILES = st.lists(st.tuples(PLACES, st.binary(max_size=4), st.binary(max_size=9), st.binary(max_size=4)), max_size=20)


@settings(max_examples=150, deadline=None)
@given(FILES, st.integers(1, 40), st.integers(1, 7))
def test_every_file_is_in_one_shard_in_the_order_of_places(
    tmp_path_factory, files: list[tuple[int, bytes, bytes, bytes]], run_bytes: int, shards: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("spill")
    kept, spill.RUN_BYTES = spill.RUN_BYTES, run_bytes  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with (folder / "x.spill").open("wb") as out:
            writer = SpillWriter(out)
            for file in files:
                writer.add(*file)
            (folder / "x.index").write_bytes(writer.finish().tobytes())
    finally:
        spill.RUN_BYTES = kept  # pyright: ignore[reportAttributeAccessIssue]
    found = []
    with SpillReader() as reader:
        for shard in range(shards):
            first, behind = shard_bounds(shard, shards)
            for place, offset, *sizes in entries_between(folder / "x.index", first, behind).tolist():
                assert first <= place < behind
                starts = itertools.accumulate(sizes[:-1], initial=offset)
                parts = [reader.read(folder / "x.spill", *part) for part in zip(starts, sizes, strict=True)]
                found.append((place, *parts))
    assert found == sorted(files, key=lambda file: file[0])  # stable: those of one place as they came


def test_shards_divide_the_places_without_a_gap() -> None:
    for shards in (1, 2, 3, 7, 1000):
        bounds = [shard_bounds(shard, shards) for shard in range(shards)]
        assert (bounds[0][0], bounds[-1][1]) == (0, 1 << 64)
        assert all(one[1] == other[0] for one, other in itertools.pairwise(bounds))


def test_more_spills_than_may_be_open_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}" for number in range(200)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 3)
    with SpillReader() as reader:
        for _ in range(2):
            assert [reader.read(path, 1, 2) for path in paths] == [bytes([number]) * 2 for number in range(200)]
        assert len(reader._open) <= 64
