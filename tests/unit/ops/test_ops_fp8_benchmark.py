"""The FP8 kernels' benchmark runs, and its file says what the numbers belong to."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_benchmark_of_tiny_sizes(tmp_path):
    program = ROOT / "tools" / "benchmark" / "fp8_cpu.py"
    arguments = ["--rows", "4", "--columns", "32", "--rounds", "1", "--out", str(tmp_path)]
    result = subprocess.run(
        [sys.executable, str(program), *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "fp8_cpu.json").read_text())
    assert written["kernels"].startswith("csrc cpu (")
    assert {"cpu", "torch", "commit", "date", "threads"} <= set(written)
    assert len(written["rows"]) == 10
    assert all(row["ratio"] > 0 for row in written["rows"])
