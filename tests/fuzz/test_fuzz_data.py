"""Short runs of the fuzz targets with a fixed seed; longer ones are started by hand (see each target's head)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run(command: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done


def test_the_encoder_survives_any_vocabulary_and_text(tmp_path):
    """With the address and undefined-behaviour sanitizers."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    flags = ["-DSEEDED", "-O1", "-g", "-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = sorted((ROOT / "csrc" / "data").glob("encoder*.cpp"))
    target = tmp_path / "encoder"
    run([compiler, *flags, f"-I{ROOT / 'csrc' / 'data'}", *sources, HERE / "encoder_target.cpp", "-o", target])
    assert "no fault" in run([target, "1", "4000"]).stdout


def test_the_index_reader_survives_any_bytes():
    pytest.importorskip("atheris", reason="atheris is not installed")
    done = run([sys.executable, HERE / "index_target.py", "-runs=10000", "-seed=1", "-max_len=200"])
    assert "Done 10000 runs" in done.stderr


def test_the_tokenizer_survives_any_bytes(tiny_tokenizer):
    pytest.importorskip("atheris", reason="atheris is not installed")
    words = [HERE / "tokenizer_target.py", tiny_tokenizer, "-runs=5000", "-seed=1", "-max_len=300"]
    assert "Done 5000 runs" in run([sys.executable, *words]).stderr
