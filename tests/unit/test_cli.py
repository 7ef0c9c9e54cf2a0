"""The command line: quick, lazy, and clear about bad input."""

import subprocess
import sys
import time

import pytest

from aixmeg import cli
from aixmeg.errors import UserError

HEAVY = ("torch", "megatron", "transformers", "numpy", "sentencepiece", "tree_sitter", "pydantic")


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_nothing_heavy():
    code = "import sys, aixmeg.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(code).split()}
    assert loaded.isdisjoint(HEAVY)


def test_help_is_immediate():
    """0.3 s is the promise; the best of five, less what the interpreter itself takes, is steady on a busy machine."""

    def best(code):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            python(code)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("import aixmeg.cli; print(aixmeg.cli._overview(aixmeg.cli.COMMANDS))") < 0.3 + best("pass")


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_and_a_target(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*name.split(), "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: aixmeg {name}" in printed
    for section in cli.COMMANDS[name].sections:
        assert f"--{section}." in printed
    module, function = cli.COMMANDS[name].target.split(":")
    code = f"import inspect, {module} as m; print(*inspect.signature(m.{function}).parameters)"
    accepted = set(python(code).split())
    for names, settings in cli.COMMANDS[name].arguments:
        assert settings.get("dest", names[0].lstrip("-").replace("-", "_")) in accepted
    assert not cli.COMMANDS[name].sections or "config" in accepted


def test_print_config_takes_overrides_in_both_forms(capsys):
    assert (
        cli.main(
            ["train", "--train.steps=7", "--optimizer.lr", "3e-4", "--optimizer.warmup_steps", "1", "--print-config"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "steps: 7" in printed
    assert "lr: 0.0003" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "'trian' is not a command; choose corpus build"),
        (["train", "--train.stepz", "3"], "did you mean train.steps?"),
        (["train", "--train.steps"], "--train.steps needs a value"),
        (["train", "--config", "missing.yaml"], "cannot read the configuration missing.yaml"),
    ],
)
def test_bad_input_is_one_clear_message_and_status_2(words, message, capsys):
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("aixmeg: ")
    assert message in error
    assert "Traceback" not in error


def test_group_alone_lists_its_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["data"])
    assert "aixmeg data show" in capsys.readouterr().out


def test_user_error_from_a_command(monkeypatch, capsys):
    def fail(**_):
        raise UserError("value=3 breaks the rule; do that")

    monkeypatch.setattr(cli.importlib, "import_module", lambda _: type("M", (), {"doctor": staticmethod(fail)}))
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err == "aixmeg: value=3 breaks the rule; do that\n"
