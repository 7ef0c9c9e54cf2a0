"""The README's commands are commands; `.ci/run` also runs the first two and the whole of "The steps"."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from aixmeg import cli

ROOT = Path(__file__).parents[2]
LINES = re.findall(r"^    (\S.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
OURS = [line for line in LINES if re.match(r"aixmeg |torchrun ", line)]


def test_there_are_commands():
    assert {"make quickstart", "make test"} <= set(LINES)
    assert len(OURS) >= 10


@pytest.mark.parametrize("line", OURS)
def test_command_parses(line, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)
    if words[0] == "torchrun":
        words = words[words.index("aixmeg") :]
    name, rest = cli._find_command(words[1:])
    command = cli.COMMANDS[name]
    if command.sections:
        assert cli.main([*words[1:], "--print-config"]) == 0
    else:
        cli._parser(name, command).parse_args(rest)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_target_exists(line):
    target = line.split()[1]
    plan = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr


@pytest.mark.parametrize("script", ["slurm/pretrain.sbatch", "examples/quickstart.sh", ".ci/run"])
def test_scripts_parse(script):
    done = subprocess.run(["bash", "-n", ROOT / script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"\b((?:examples|slurm|docs)/[\w./-]*\w)", text)) | set(
        re.findall(r"\]\((\w[\w./]*\.md)\)", text)
    )
    assert named
    for name in named:
        assert (ROOT / name).exists(), name
