"""Which files are kept, against a plain reading of the rules; and how much memory that takes."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_trees import plain
from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.config import CorpusConfig
from aixmeg.corpus import decisions
from aixmeg.corpus.clean import decisions_of, wanted_documents
from aixmeg.corpus.job import Job
from aixmeg.corpus.phases import run_shard
from aixmeg.corpus.rows import ROW, halves, repository_key
from aixmeg.corpus.sources import RawDocument, Rules
from aixmeg.corpus.tally import EXAMPLES, Tally
from aixmeg.files import read_json, write_json

File = tuple[str, bytes]
"""Repository and content."""


def scanned(folder: Path, inputs: list[list[File]], **changes: Any) -> Job:
    """A job whose inputs have been scanned: as `scan_shard` leaves it."""
    job = Job(folder)
    config = CorpusConfig(**plain() | changes)
    folder.mkdir()
    job.describe([], config, folder, "")
    (folder / "scan").mkdir()
    write_json(job.description, job.described() | {"inputs": len(inputs)})
    for number, files in enumerate(inputs):
        rows = [(halves(hashlib.sha256(text).digest()), repository_key(name), len(text), index)
                for index, (name, text) in enumerate(files)]  # fmt: skip
        job.at("scan", number, "rows").write_bytes(np.array(rows, ROW).tobytes())
        names = [json.dumps([name, f"{number}-{index}", None]) for index, (name, _) in enumerate(files)]
        job.at("scan", number, "names").write_text("".join(f"{line}\n" for line in names))
        known = [json.dumps([name, 1, 1, {}, {}]) for name in dict.fromkeys(name for name, _ in files)]
        job.at("scan", number, "repositories").write_text("".join(f"{line}\n" for line in known))
        write_json(job.done("scan", number), Tally().to_json())
    return job


def decided(job: Job) -> list[list[str]]:
    """Reason of each file, "" for kept, by input."""
    for phase in ("gather", "decide"):
        run_shard(job.folder, phase, 0)
    reasons = ["", *(reason for _, reason in decisions.REASONS)]
    return [[reasons[code] for code in decisions_of(job, number)] for number in range(job.shards("scan"))]


def expected(inputs: list[list[File]], budget: int) -> list[list[str]]:
    """The rules, read plainly: the copy of the repository that sorts first is kept, of several there the first; then
    each repository's budget, first come first served."""
    files = [(name, text, place) for number, one in enumerate(inputs)
             for place, (name, text) in enumerate(one, number * 10**6)]  # fmt: skip
    best = {text: min((name, place) for name, other, place in files if other == text) for _, text, _ in files}
    used: dict[str, int] = {}
    reasons = {}
    for name, text, place in files:
        if best[text] != (name, place):
            reasons[place] = "exact_duplicate"
        elif budget and used.get(name, 0) + len(text) > budget:
            reasons[place] = "over_repository_budget"
        else:
            used[name] = used.get(name, 0) + len(text)
            reasons[place] = ""
    return [[reasons[number * 10**6 + index] for index in range(len(one))] for number, one in enumerate(inputs)]


file = st.tuples(st.sampled_from("abc"), st.binary(min_size=1, max_size=3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(file, max_size=12), min_size=1, max_size=4), st.integers(0, 8), st.integers(1, 9))
def test_copies_and_budgets_are_those_of_a_plain_reading(
    tmp_path_factory, inputs: list[list[File]], budget: int, in_memory: int
) -> None:
    folder = tmp_path_factory.mktemp("job")
    kept = decisions.FILES_IN_MEMORY
    decisions.FILES_IN_MEMORY = in_memory  # pyright: ignore[reportAttributeAccessIssue]
    try:
        job = scanned(folder / "job", inputs, max_repository_bytes=budget)
        assert decided(job) == expected(inputs, budget)
    finally:
        decisions.FILES_IN_MEMORY = kept  # pyright: ignore[reportAttributeAccessIssue]
    plan = read_json(job.plan)
    tally = Tally.from_json(plan["tally"])
    dropped = [one for reasons in tally.dropped.values() for one in reasons.values()]
    assert plan["files"] + sum(one.files for one in dropped) == sum(map(len, inputs))
    assert plan["bytes"] + sum(one.bytes for one in dropped) == sum(len(text) for one in inputs for _, text in one)
    for reasons in tally.dropped.values():
        for reason, count in reasons.items():
            assert len(tally.examples[reason].values()) == min(EXAMPLES, count.files)


def test_a_file_that_does_not_fit_leaves_room_for_the_next(tmp_path: Path) -> None:
    job = scanned(tmp_path / "job", [[("a", b"123456789"), ("a", b"12"), ("b", b"x" * 9)]], max_repository_bytes=8)
    assert decided(job) == [["over_repository_budget", "", "over_repository_budget"]]


def test_the_best_ranked_repository_keeps_its_copy(tmp_path: Path) -> None:
    job = scanned(tmp_path / "job", [[("a", b"x")], [("b", b"x"), ("c", b"x")]])
    job.at("scan", 1, "repositories").write_text('["b", 1, 1, {"stars": 3.0}, {}]\n["c", 1, 1, {"stars": 5.0}, {}]\n')
    assert decided(job) == [[""], ["exact_duplicate"] * 2]  # ranking is off: names decide
    ranked = CorpusConfig().rank
    again = scanned(tmp_path / "ranked", [[("a", b"x")], [("b", b"x"), ("c", b"x")]], rank=ranked)
    for number in (0, 1):
        source, target = (one.at("scan", number, "repositories") for one in (job, again))
        target.write_bytes(source.read_bytes())
    assert decided(again) == [["exact_duplicate"], ["exact_duplicate", ""]]


def test_files_that_the_source_no_longer_gives_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = scanned(tmp_path / "job", [[("a", bytes([number])) for number in range(6)] + [("b", bytes([1]))]])
    assert decided(job) == [[""] * 6 + ["exact_duplicate"]]
    asked: list[bool] = []

    class Source:
        def documents(self, rules, *, wanted):
            asked.extend(index in wanted for index in range(9))
            for index in (0, 3):
                yield RawDocument(repository="a", path=f"0-{index}", size=1, index=index)

    monkeypatch.setattr(Job, "input", lambda self, number: Source())
    rules = Rules.of(job.config(), tmp_path)
    found = [(wanted.path, raw and raw.path) for wanted, raw in wanted_documents(job, 0, rules)]
    assert asked == [True] * 6 + [False] * 3
    assert found == [("0-0", "0-0"), ("0-1", None), ("0-2", None), ("0-3", "0-3"), ("0-4", None), ("0-5", None)]


def many(folder: Path, files: int) -> Job:
    """`files` files of 100 bytes in inputs of 1,000, a tenth of them copies; without going through Python per file."""
    job = scanned(folder, [[("r", b"x" * 100)]] * (files // 1000))
    random = np.random.default_rng(0)
    keys = np.array([repository_key(f"r{number}") for number in range(50)], np.uint64)
    for number in range(files // 1000):
        rows = np.zeros(1000, ROW)
        rows["digest"] = random.integers(0, 1 << 63, (1000, 2), np.uint64)
        rows["digest"][:100] = random.integers(0, 9, (100, 1), np.uint64) << np.uint64(59)
        rows["repository"], rows["size"], rows["index"] = keys[number % 50], 100, np.arange(1000)
        job.at("scan", number, "rows").write_bytes(rows.tobytes())
        line = json.dumps([f"r{number % 50}", "path", None]) + "\n"
        job.at("scan", number, "names").write_text(line * 1000)
        job.at("scan", number, "repositories").write_text(json.dumps([f"r{number % 50}", 1000, 1, {}, {}]) + "\n")
    return job


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "FILES_IN_MEMORY", 10_000)
    peaks = []
    for files in (50_000, 400_000):
        job = many(tmp_path / f"{files}", files)
        run_shard(job.folder, "gather", 0)
        tracemalloc.start()
        run_shard(job.folder, "decide", 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        counts = Tally.from_json(read_json(job.plan)["tally"]).dropped["exact"]["exact_duplicate"].files
        assert files // 11 < counts < files // 9
    assert peaks[0] > 100_000  # it did measure numpy
    assert peaks[1] < 1.5 * peaks[0], peaks
