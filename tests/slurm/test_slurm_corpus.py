"""A corpus build as job arrays of a real SLURM: the same bytes, and a lost task costs its own shards alone."""

import subprocess
import sys
import threading
import time

import corpus_for_executors as corpora
import pytest

from aixmeg.config.corpus import ExecutorConfig
from aixmeg.corpus.executor_slurm import SlurmArrays, work
from aixmeg.errors import UserError
from aixmeg.files import read_json

OPTIONS = {"kind": "slurm", "array_tasks": 3, "cpus_per_task": 1, "poll_seconds": 0.2}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return corpora.write_sources(tmp_path_factory.mktemp("sources") / "s")


@pytest.fixture
def here(lab, monkeypatch):
    """This process submits to the lab."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, lab.environment[name])
    return lab


def test_the_corpus_is_that_of_the_pool(here, sources, tmp_path):
    corpora.build(sources, tmp_path / "pool")
    words = [f"--corpus.executor.{name}={value}" for name, value in OPTIONS.items()]
    command = [sys.executable, *corpora.command(sources, tmp_path / "slurm", *words)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert corpora.digests(tmp_path / "pool") == corpora.digests(tmp_path / "slurm") != {}
    deadline = time.monotonic() + 60  # the controller hears of the last task's end a moment later
    while here.run("squeue", "-h") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert here.run("squeue", "-h") == ""


def cancel_a_task(lab, job):
    """Cancel task 1 of the array as soon as it is there."""
    running = job.folder / "slurm" / "running.json"
    while not running.exists():
        time.sleep(0.01)
    lab.run("scancel", f"{read_json(running)['array']}_1")


def test_a_cancelled_task_redoes_its_own_shards_alone(here, sources, tmp_path):
    job = corpora.described(sources, tmp_path / "corpus")
    everything = list(range(corpora.REPOSITORIES))
    thread = threading.Thread(target=cancel_a_task, args=(here, job))
    thread.start()
    with pytest.raises(UserError, match=r"shards of scan are still undone after 1 job arrays, shard 2 among them"):
        SlurmArrays(ExecutorConfig(**OPTIONS, retries=0), job).run("scan", everything, lambda _: None)
    thread.join()
    left = job.undone("scan")
    assert left == [2, 3]  # what task 1 of 3 has
    before = corpora.identities(job.folder / "scan")
    SlurmArrays(ExecutorConfig(**OPTIONS), job).run("scan", left, lambda _: None)
    assert job.undone("scan") == []
    after = corpora.identities(job.folder / "scan")
    assert {name: after[name] for name in before} == before
    assert read_json(job.folder / "slurm" / "scan-0.json")["tasks"] == [[2], [3]]


def test_the_last_words_of_a_failing_task_are_told(here, sources, tmp_path):
    job = corpora.described(sources, tmp_path / "corpus")
    (job.folder / "inputs.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match=r"scan-.*\.log ends with: ") as caught:
        SlurmArrays(ExecutorConfig(**OPTIONS, retries=1), job).run("scan", [0], lambda _: None)
    assert "after 2 job arrays" in str(caught.value)


def test_a_task_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "tasks.json").write_text('{"tasks": [[0]], "cpus_per_task": 1}')
    with pytest.raises(UserError, match="has 1 tasks, none with number 7"):
        work(tmp_path, "scan", tmp_path / "tasks.json", task=7)


def test_without_slurm_the_remedy_is_named(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    job = corpora.described(sources, tmp_path / "corpus")
    with pytest.raises(UserError, match="sbatch is not on the PATH.*kind=pool"):
        SlurmArrays(ExecutorConfig(**OPTIONS), job).run("scan", [0], lambda _: None)


def test_the_scripts_of_tasks_are_sound_shell(here, sources, tmp_path):
    job = corpora.described(sources, tmp_path / "a folder's name")
    SlurmArrays(ExecutorConfig(**OPTIONS), job).run("scan", [0], lambda _: None)
    script = job.folder / "slurm" / "scan-0.sh"
    subprocess.run(["bash", "-n", script], check=True)
    assert job.undone("scan") == list(range(1, corpora.REPOSITORIES))
