"""A set of two million documents opens and serves samples in little memory, whatever was read before."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "tools" / "benchmark" / "dataset_open.py"


def measured(tmp_path, documents):
    out = tmp_path / f"{documents}.json"
    command = [sys.executable, BENCHMARK, "--documents", str(documents), "--work", tmp_path / "work", "--out", out,
               "--seq-length", "1024", "--batch", "8"]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=300)
    return json.loads(out.read_text())


def test_memory_does_not_grow_with_the_documents(tmp_path):
    small, large = measured(tmp_path, 20_000), measured(tmp_path, 2_000_000)
    assert large["index_bytes"] == 100 * small["index_bytes"] - 99 * 42  # the header and the last boundary apart
    # A hundred times the documents: one number per 4,096 of them and the orders of the blocks that were read, 8 samples
    # of two epochs touching two blocks each at most. A plain shuffle would take 32 bytes per document, 64 MB.
    for run in ("cold", "warm"):
        assert large[run]["private_mb"] - small[run]["private_mb"] < 8
