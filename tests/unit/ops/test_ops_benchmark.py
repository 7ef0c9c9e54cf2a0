"""The benchmark runs, and its file says what the numbers belong to."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_benchmark_of_tiny_sizes(tmp_path):
    program = ROOT / "tools" / "benchmark" / "ops_cpu.py"
    arguments = ["--rows", "4", "--columns", "128", "--rounds", "1", "--out", str(tmp_path)]
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
    assert len(written["rows"]) == 14
    for row in written["rows"]:
        assert row["ratio"] > 0
        assert row["ratio_compiled"] > 0
        assert row["op"] in result.stdout
