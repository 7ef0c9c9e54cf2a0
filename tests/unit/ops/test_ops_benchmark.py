"""The benchmark runs, and its file says what the numbers belong to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("choice", "rows"), [(["--eager-only"], 14), (["--only", "rms_norm"], 2)])
def test_benchmark_of_tiny_sizes(tmp_path, choice, rows):
    program = ROOT / "tools" / "benchmark" / "ops_cpu.py"
    arguments = ["--rows", "4", "--columns", "128", "--rounds", "1", "--out", str(tmp_path), *choice]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, str(program), *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "ops_cpu.json").read_text())
    assert written["kernels"].startswith("csrc cpu (")
    assert {"cpu", "torch", "commit", "date", "threads", "load"} <= set(written)
    assert len(written["rows"]) == rows
    for row in written["rows"]:
        assert row["ratio"] > 0
        assert ("ratio_compiled" in row) == (choice[0] == "--only")
        assert row["op"] in result.stdout
