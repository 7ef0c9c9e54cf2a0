"""A submission: what it writes, what it masks, what it refuses; sbatch is a script of the test."""

import json
import os
import stat
import subprocess

import pytest
import yaml

from aixmeg import cli
from aixmeg.cluster.code_version import code_version
from aixmeg.cluster.secrets import MASK, is_secret, masked_text

TOKEN = "gh" + "p_" + "Zk9wQ2vLr8XtB3nMc7YsHd5JfGa1EuPiWo4K"
TINY = ["--model.preset", "tiny", "--tokenizer.vocab_size", "8192", "--train.global_batch_size", "32"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """An sbatch that accepts everything as job 41, and a squeue that knows it as `state`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "state").write_text("")
    for name, text in (
        ("sbatch", 'echo "$@" >>"$0.log"; [[ $1 != --test-only ]] && echo "41;lab" || echo "Job 42 to start" >&2'),
        ("squeue", f"cat {tmp_path}/state"),
    ):
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def submit(*words):
    return cli.main(["slurm", "submit", "--nodes", "2", *TINY, *words])


def test_the_run_directory(cluster, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "abc")
    monkeypatch.setenv("PROXY", "http://me:geheim99@proxy:80")
    monkeypatch.setenv("HARMLESS", "yes")
    assert submit("--time", "90", "--", "--train.steps", "770") == 0
    run = cluster / "run"
    assert "job 41: 2 nodes, 16 ranks" in capsys.readouterr().out
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["train"]["steps"] == 770
    assert config["paths"]["root"] == str(cluster)  # absolute: a job starts anywhere
    environment = json.loads((run / "submit/environment.json").read_text())
    assert (environment["HF_TOKEN"], environment["PROXY"], environment["HARMLESS"]) == (MASK, MASK, "yes")
    assert yaml.safe_load((run / "submit/site.yaml").read_text())["time"] == "90"
    assert "#SBATCH --time=90" in (run / "submit/job.sbatch").read_text()
    code = json.loads((run / "submit/code.json").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=code["folder"], capture_output=True, text=True, check=False)
    assert code["commit"] == (head.stdout.strip() or None)
    assert json.loads((run / "submit/jobs.jsonl").read_text())["job"] == "41"
    for path in [run, *run.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert "geheim99" not in "".join(path.read_text() for path in run.rglob("*") if path.is_file())


def test_only_asking_writes_nothing(cluster, capsys):
    assert submit("--dry-run", "--test-only") == 0
    said = capsys.readouterr()
    assert said.out.startswith("#!/bin/bash\n#SBATCH")
    assert "Job 42 to start" in said.err
    assert not (cluster / "run").exists()


def test_a_run_has_one_job(cluster, capsys):
    assert submit() == 0
    (cluster / "state").write_text("PENDING\n")
    assert submit() == 2
    assert "has job 41 already (pending" in capsys.readouterr().err
    (cluster / "state").write_text("FAILED\n")
    assert submit() == 0


@pytest.mark.parametrize(
    ("words", "site", "message"),
    [
        (["--parallel.tensor_model_parallel_size", "3"], "", "parallel.tensor_model_parallel_size=3"),
        (["--train.global_batch_size", "3"], "", "global_batch_size=3"),
        ([], f"environment: {{GOOD: {TOKEN}}}", "environment.GOOD of the site profile looks like a secret"),
        ([], "environment: {WANDB_API_KEY: x}", "environment.WANDB_API_KEY of the site profile looks like a secret"),
        ([], "time: soon", "time='soon' is no time limit"),
    ],
)
def test_what_would_fail_later_is_refused_now(cluster, capsys, words, site, message):
    (cluster / "site.yaml").write_text(site)
    assert submit("--profile", "site.yaml", *words) == 2
    assert message in capsys.readouterr().err
    assert not (cluster / "run").exists()


def test_without_slurm_the_remedy_is_named(cluster, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(cluster))
    assert submit("--test-only") == 2
    assert "sbatch is not on the PATH" in capsys.readouterr().err


def test_the_profile_of_the_site_is_found(cluster, monkeypatch, capsys):
    (cluster / "site.yaml").write_text("partition: mine")
    monkeypatch.setenv("AIXMEG_SITE", str(cluster / "site.yaml"))
    assert submit("--dry-run") == 0
    assert "#SBATCH --partition=mine\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HF_TOKEN", "", True), ("AWS_SECRET_ACCESS_KEY", "x", True), ("WANDB_API_KEY", "x", True),
        ("DB_PASSWORD", "x", True), ("MY_KEY", "x", True), ("SSH_AUTH_SOCK", "/tmp/a", True), ("SENTRY_DSN", "x", True),
        ("FOO", TOKEN, True), ("URL", "https://u:geheim99@host/x", True), ("PEM", "AKIA" + "QWERTYUIOPASDF77", True),
        ("PWD", "/home", False), ("PATH", "/usr/bin:/bin", False), ("KEYBOARD", "us", False), ("LANG", "C", False),
        ("TOKENIZERS_PARALLELISM", "false", True),  # TOKEN in it: rather one too many
    ],
)  # fmt: skip
def test_secrets(name, value, secret):
    assert is_secret(name, value) is secret


def test_a_difference_keeps_its_form_and_loses_its_tokens():
    text = f'+++ b/x.py\n+token = "{TOKEN}"\n+step = 3\n'.encode()
    masked = masked_text(text)
    assert TOKEN.encode() not in masked
    assert masked.startswith(b'+++ b/x.py\n+token = "')
    assert masked.endswith(b'"\n+step = 3\n')


def test_code_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr("aixmeg.__file__", str(tmp_path / "site-packages/aixmeg/__init__.py"))
    facts, diff = code_version()
    assert (facts["commit"], diff) == (None, b"")
