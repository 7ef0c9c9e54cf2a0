"""A corpus build over MPI ranks: the same bytes; a rank that dies costs the shards at hand alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import corpus_for_executors as corpora
import pytest

from aixmeg.corpus.job import STATE_FOLDER, Job
from aixmeg.corpus.run_shards import run_shards

pytestmark = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun (apt-get install openmpi-bin)")
MPIRUN = ("mpirun", "--oversubscribe", "-n")
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "tcp,self", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
}  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return corpora.write_sources(tmp_path_factory.mktemp("sources") / "s")


def command(sources, output, ranks, *python):
    words = corpora.command(sources, output, "--corpus.executor.kind", "mpi")
    return [*MPIRUN, str(ranks), sys.executable, *python, *words]


def run(sources, output, ranks, *python):
    return subprocess.run(
        command(sources, output, ranks, *python),
        env=ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_corpus_is_that_of_the_pool(sources, tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    corpora.build(sources, tmp_path / "pool")
    result = run(sources, tmp_path / "mpi", 3, "-m", "mpi4py.futures")
    assert result.returncode == 0, result.stderr
    assert corpora.digests(tmp_path / "pool") == corpora.digests(tmp_path / "mpi") != {}


def test_ranks_that_would_all_do_the_whole_build_are_refused(sources, tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    result = run(sources, tmp_path / "mpi", 2)
    assert result.returncode != 0
    assert "python -m mpi4py.futures -m aixmeg corpus build" in result.stderr + result.stdout
    assert not (tmp_path / "mpi" / "report.json").exists()


def ranks_of(launcher: int) -> list[int]:
    """The processes that mpirun has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == launcher:
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return sorted(found)


def test_a_killed_rank_redoes_its_own_shard_alone(tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    sources = corpora.write_sources(tmp_path / "s", slow=30_000)
    output = tmp_path / "mpi"
    process = subprocess.Popen(command(sources, output, 3, "-m", "mpi4py.futures"), env=ENVIRONMENT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    markers = output / STATE_FOLDER / "scan"
    end = time.monotonic() + 120
    while len(list(markers.glob("*.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(ranks_of(process.pid)[-1], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    job = Job(output / STATE_FOLDER)
    done = {marker.name.split(".")[0] for marker in markers.glob("*.json")}
    before = {name: one for name, one in corpora.identities(markers).items() if name.split(".")[0] in done}
    assert len(done) >= 2
    run_shards(job.folder, "scan", list(range(corpora.REPOSITORIES)), workers=1)
    after = corpora.identities(markers)
    assert {name: after[name] for name in before} == before
    corpora.build(sources, output)  # another executor goes on where this one was ended
    corpora.build(sources, tmp_path / "pool")
    assert corpora.digests(output) == corpora.digests(tmp_path / "pool")
