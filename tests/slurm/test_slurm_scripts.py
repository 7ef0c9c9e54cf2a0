"""The scripts of slurm/ in a real SLURM, with a Python that writes down what it is asked for."""

import json
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from aixmeg import cli

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
printf '%s\\n' "$(printf '%q ' "$@")" >>{calls}
[[ "$*" != *broken* ]]
"""


@pytest.fixture
def here(lab, tmp_path, monkeypatch):
    """The lab, scripts that ask for as little as it has, and the calls of the Python in $VENV."""
    (tmp_path / "venv/bin").mkdir(parents=True)
    python, calls = tmp_path / "venv/bin/python", tmp_path / "calls"
    python.write_text(PYTHON.format(calls=shlex.quote(str(calls))))
    python.chmod(0o755)
    (tmp_path / "slurm").mkdir()
    for script in (ROOT / "slurm").glob("*.s*"):
        lines = script.read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("#SBATCH --gpus", "#SBATCH --mem", "#SBATCH --time"))]
        text = "\n".join("#SBATCH --cpus-per-task=1" if "SBATCH --cpus-per" in line else line for line in kept)
        (tmp_path / "slurm" / script.name).write_text(text + "\n")
        (tmp_path / "slurm" / script.name).chmod(0o755)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        environment = {**lab.environment, "VENV": str(tmp_path / "venv")}
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    def asked():
        end = time.monotonic() + 120
        while lab.run("squeue", "-h"):
            assert time.monotonic() < end
            time.sleep(0.1)
        return [shlex.split(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return run, asked


def test_preparation_is_a_chain(here):
    run, asked = here
    last = run("slurm/prepare.sh", "c.yaml", "--train.seed", "3")
    assert last.isdigit()
    calls = asked()
    assert [call[2:4] for call in calls] == [["corpus", "build"], ["tokenizer", "train"], ["data", "build"]]
    for call in calls:
        assert call[:2] == ["-m", "aixmeg"]
        assert call[4:6] == ["--config", "c.yaml"]
        assert call[-2:] == ["--train.seed", "3"]


def test_nothing_follows_a_step_that_failed(here):
    run, asked = here
    run("slurm/prepare.sh", "broken.yaml")
    assert [call[2] for call in asked()] == ["corpus"]


def test_a_file_per_task_of_the_array(here, tmp_path):
    run, asked = here
    (tmp_path / "files.txt").write_text("/d/a.jsonl\n/d/b c.jsonl\n")
    run("sbatch", "--array=1-3", "slurm/preprocess.sbatch", "files.txt", "t.model", "out")
    calls = sorted(asked())
    assert [call[call.index("--input") + 1] for call in calls] == ["/d/a.jsonl", "/d/b c.jsonl"]  # there is no third
    assert [call[call.index("--output-prefix") + 1] for call in calls] == ["out/a", "out/b c"]

    from aixmeg.data.preprocess_options import parse_arguments

    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x"}))
    (tmp_path / "t.model").write_bytes(b"x")
    words = [*calls[0][1:]]
    words[words.index("--input") + 1] = str(tmp_path / "a.jsonl")
    assert parse_arguments(words).append_eod


@pytest.mark.parametrize(
    ("script", "words", "expected"),
    [
        ("convert", ["RUN", "OUT"], "convert to-hf RUN OUT --verify"),
        ("evaluate", ["safim", "M", "D", "R", "--dtype", "bf16"], "eval safim --model M --data D --out R --dtype bf16"),
    ],
)
def test_the_command_is_one_of_ours(here, script, words, expected):
    run, asked = here
    run("sbatch", f"slurm/{script}.sbatch", *words)
    (call,) = asked()
    assert call == ["-m", "aixmeg", *expected.split()]
    name, rest = cli._find_command(call[2:])
    cli._parser(name, cli.COMMANDS[name]).parse_args(rest)
