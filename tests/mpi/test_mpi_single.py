"""Commands that one process does, started as several ranks: refused before anything is written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aixmeg.cli import _SINGLE, COMMANDS

ROOT = Path(__file__).parents[2]
mpirun = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun (apt-get install openmpi-bin)")
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "PYTHONPATH": str(ROOT),
}  # fmt: skip
WORDS = {
    "tokenizer train": "--paths.root {0}",
    "convert to-hf": "{0}/run {0}/hf",
    "convert from-hf": "{0}/hf {0}/run",
    "convert to-gguf": "{0}/run {0}/run.gguf",
    "eval make": "{0} --against {0} --out {0}/set",
    "corpus report": "--paths.root {0}",
    "data stats": "--paths.root {0}",
    "report": "--paths.root {0}",
    "quickstart": "--work {0}/work",
}


def as_ranks(count, *words):
    command = ["mpirun", "--oversubscribe", "-n", str(count), sys.executable, *words]
    return subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=300)


@mpirun
@pytest.mark.parametrize("name", ["tokenizer train", "convert to-hf", "eval make"])
def test_a_command_of_one_process_is_refused_to_ranks(name, tmp_path):
    result = as_ranks(2, "-m", "aixmeg", *name.split(), *WORDS[name].format(tmp_path).split())
    assert result.returncode != 0
    assert f"2 processes were started, and each of them would do the whole `aixmeg {name}`" in result.stderr
    assert "start one process (`srun -n 1`)" in result.stderr
    assert list(tmp_path.iterdir()) == []


@mpirun
def test_ranks_that_would_each_encode_the_same_lines_are_refused(tmp_path, tiny_tokenizer):
    (tmp_path / "a.jsonl").write_text('{"text": "x = 1"}\n')
    words = ["--input", tmp_path / "a.jsonl", "--output-prefix", tmp_path / "out", "--tokenizer-type",
             "SentencePieceTokenizer", "--tokenizer-model", tiny_tokenizer / "tokenizer.model"]  # fmt: skip
    command = [str(ROOT / "tools/preprocess_data.py"), *map(str, words)]
    result = as_ranks(2, *command)
    assert result.returncode != 0
    assert "preprocess_data: 2 processes were started, and each of them would do the whole `tools/preprocess_" in (
        result.stderr
    )
    assert "start one process with --workers 2" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert as_ranks(1, *command).returncode == 0  # one rank is no repetition
    assert (tmp_path / "out_text_document.idx").exists()


@pytest.mark.parametrize("name", sorted(_SINGLE))
def test_every_one_of_them_asks_in_a_slurm_step(name, tmp_path, capsys, monkeypatch):
    """In a fresh process's place: `srun -n 3` as its variables say it."""
    from aixmeg import cli

    for variable, value in {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "3"}.items():
        monkeypatch.setenv(variable, value)
    assert cli.main([*name.split(), *WORDS[name].format(tmp_path).split()]) == 2
    assert f"3 processes were started, and each of them would do the whole `aixmeg {name}`" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_they_are_commands():
    assert set(COMMANDS) >= _SINGLE
