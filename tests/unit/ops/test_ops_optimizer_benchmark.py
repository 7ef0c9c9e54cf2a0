"""The optimizer's benchmark runs, and its file says what the numbers belong to."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_benchmark_of_tiny_sizes(tmp_path):
    program = ROOT / "tools" / "benchmark" / "optimizer_cpu.py"
    arguments = ["--layers", "1", "--hidden", "16", "--rounds", "1", "--out", str(tmp_path)]
    result = subprocess.run(
        [sys.executable, str(program), *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "optimizer_cpu.json").read_text())
    assert written["kernels"].startswith("csrc cpu (")
    assert {"cpu", "torch", "commit", "date", "threads"} <= set(written)
    assert {row["op"] for row in written["rows"]} >= {"AdamW step", "gradient norm", "clipping"}
    assert all(row["ratio"] > 0 and row["side"] in result.stdout for row in written["rows"])
