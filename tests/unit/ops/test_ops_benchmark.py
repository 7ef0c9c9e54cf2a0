"""The CPU benchmarks run, and their files say what the numbers belong to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run_benchmark(name, out, *arguments):
    """Run tools/benchmark/NAME.py: what it printed, and what it wrote."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "benchmark" / f"{name}.py"), "--rounds", "1", "--out", str(out),
         *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    written = json.loads((out / f"{name}.json").read_text())
    assert written["kernels"].startswith("csrc cpu (")
    assert {"cpu", "torch", "commit", "date", "threads"} <= set(written)
    assert all(row["ratio"] > 0 for row in written["rows"])
    return result.stdout, written


@pytest.mark.parametrize(("choice", "rows"), [(["--eager-only"], 14), (["--only", "rms_norm"], 2)])
def test_layer_ops(tmp_path, choice, rows):
    printed, written = run_benchmark("ops_cpu", tmp_path, "--rows", "4", "--columns", "128", *choice)
    assert "load" in written
    assert len(written["rows"]) == rows
    for row in written["rows"]:
        assert ("ratio_compiled" in row) == (choice[0] == "--only")
        assert row["op"] in printed


def test_fp8_kernels(tmp_path):
    _, written = run_benchmark("fp8_cpu", tmp_path, "--rows", "4", "--columns", "32")
    assert len(written["rows"]) == 10


def test_optimizer(tmp_path):
    printed, written = run_benchmark("optimizer_cpu", tmp_path, "--layers", "1", "--hidden", "16")
    assert {row["op"] for row in written["rows"]} >= {"AdamW step", "gradient norm", "clipping"}
    assert all(row["side"] in printed for row in written["rows"])
