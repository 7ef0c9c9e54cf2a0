"""A dataset over MPI ranks: the same bytes as of one process, and ranks that would each build it are refused."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from aixmeg.config import Config, DataConfig, PathsConfig, dump_config
from aixmeg.corpus.mpi_ranks import refuse_repeats
from aixmeg.corpus.source_file import SourceFile, shard_name
from aixmeg.errors import UserError

mpirun = pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun (apt-get install openmpi-bin)")
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "tcp,self", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}  # fmt: skip
SMALL_PARTS = """
import os, sys
from aixmeg.data import parts, pool
parts.PART_BYTES = 20_000
def build_part(*arguments):
    print("built by rank", os.environ.get("OMPI_COMM_WORLD_RANK"), file=sys.stderr)
    parts.build_part(*arguments)
pool.build_part = build_part
sys.argv[1:] = ["data", "build", "--config", {config!r}]
if __name__ == "__main__":
    from aixmeg.cli import main
    sys.exit(main())
"""


@pytest.fixture
def root(tmp_path, tiny_tokenizer):
    """A corpus of standard-library packages, its tokenizer and a configuration."""
    (tmp_path / "corpus").mkdir()
    lines = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*/*.py"))[:60]:
        text = path.read_text(errors="replace")
        if 0 < len(text) < 12_000:
            lines.append(SourceFile(repository=path.parent.name, path=path.name, language="Python", text=text,
                                    bytes=len(text.encode()), sha256="0" * 64, error_share=0.0).to_line())  # fmt: skip
    (tmp_path / "corpus" / shard_name(0)).write_bytes(b"".join(lines))
    (tmp_path / "corpus/report.json").write_text('{"shards": 1}')
    config = Config(paths=PathsConfig(root=tmp_path, tokenizer=tiny_tokenizer), data=DataConfig(workers=1))
    (tmp_path / "config.yaml").write_text(dump_config(config))
    (tmp_path / "build.py").write_text(SMALL_PARTS.format(config=str(tmp_path / "config.yaml")))
    return tmp_path


def build(root, *words):
    command = [*words, str(root / "build.py")]
    return subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=300)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@mpirun
def test_the_dataset_is_that_of_one_process(root):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    alone = build(root, sys.executable)
    assert alone.returncode == 0, alone.stderr
    (root / "data").rename(root / "alone")
    ranks = build(root, "mpirun", "--oversubscribe", "-n", "3", sys.executable, "-m", "mpi4py.futures")
    assert ranks.returncode == 0, ranks.stderr
    assert contents(root / "data") == contents(root / "alone")
    assert set(re.findall(r"built by rank (\S+)", ranks.stderr)) == {"1", "2"}


@mpirun
def test_ranks_that_would_each_build_it_are_refused(root):
    result = build(root, "mpirun", "--oversubscribe", "-n", "2", sys.executable)
    assert result.returncode != 0
    assert "2 processes were started, and each of them would do the whole `aixmeg data build`" in result.stderr
    assert "`mpirun -n 2 python -m mpi4py.futures -m aixmeg data build …`" in result.stderr
    assert not (root / "data").exists()


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 4),
        ({"PMI_SIZE": "3"}, 3),
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, 2),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, 1),  # a batch script
        ({"OMPI_COMM_WORLD_SIZE": "1"}, 1),
        ({"OMPI_COMM_WORLD_SIZE": "many"}, 1),
        ({}, 1),
    ],
)
def test_who_is_one_of_several(environment, count):
    if count == 1:
        refuse_repeats("data build", alone="data.workers", environment=environment)
        return
    with pytest.raises(UserError, match=f"^{count} processes .*one process and set data.workers"):
        refuse_repeats("data build", alone="data.workers", environment=environment)
