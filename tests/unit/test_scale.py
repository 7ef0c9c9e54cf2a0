"""The arithmetic of tools/scale.py, and that the documented table is that of the recorded unit costs."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import scale  # noqa: E402

UNITS = {
    "start_cpu_seconds": 3.0, "start_opens": 4000, "start_stats": 6000, "pair_cpu_seconds": 1e-4, "pair_files": 1.0,
    "store_cpu_seconds_per_pair": 1e-5, "lazy_store_cpu_seconds_per_pair": 1e-6, "lazy_files_per_doubling": 2.0,
    "metrics_bytes": 500, "board_bytes": 1500, "stacks_bytes": 10_000, "checkpoint_bytes_per_parameter": 14.0,
    "file_seconds": 1e-3, "hash_bytes_per_second": 2e9, "write_bytes_per_second": 1e9,
}  # fmt: skip


def test_sixteen_nodes():
    found = scale.at(16, UNITS)
    assert found["ranks"] == 128
    assert found["import_operations"] == 128 * 10_000
    assert found["import_seconds"] == pytest.approx(3 + 12.8)
    assert found["meeting_seconds"] == pytest.approx(128 * 128 * 1e-5 + 128e-4)
    assert (found["open_files"], found["open_files_lazy"]) == (128, 14)
    assert found["metrics_bytes_a_day"] == 86_400 / 5 * 2000  # one record a step, by rank 0 alone
    assert found["failure_bytes"] == 1_280_000
    size = 7.432e9 * 14
    assert found["checkpoint_bytes"] == pytest.approx(size)
    largest = 49_152 * 4096 / 2 * 14  # of a rank's tensors; more than a 128th of all
    assert found["checkpoint_seconds"] == pytest.approx(size / 10e9 + largest / 2e9 + 132e-3)


def test_what_breaks_first():
    ends = scale.largest(UNITS)
    for name, value, limit in (
        ("meeting", "meeting_seconds", 600), ("soft limit of open files", "open_files", 1024),
        ("hard limit of open files", "open_files", 524_288), ("imports", "import_seconds", 600),
    ):  # fmt: skip
        nodes = ends[name]
        assert scale.at(nodes - 10, UNITS)[value] < limit < scale.at(nodes + 10, UNITS)[value], name


def test_the_documented_table_is_that_of_the_recorded_costs():
    units = json.loads((ROOT / "tools/benchmark/results/scale.json").read_text())["units"]
    assert scale.BEGIN + scale.table(units) + scale.END in (ROOT / "docs/cluster.md").read_text()
