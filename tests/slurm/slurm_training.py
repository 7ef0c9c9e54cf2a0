"""Trainings of a tiny model as jobs of the lab: their inputs, their submission, and what they leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/dist"))


from aixmeg.config import Config, dump_config  # noqa: E402

SITE = """
gpus_per_node: 0
cpus_per_rank: 1
time: "50"
signal_seconds: 60
max_restarts: 200
environment:
  PYTHONPATH: {path}
  GLOO_SOCKET_IFNAME: lo
  TP_SOCKET_IFNAME: lo
  OMPI_ALLOW_RUN_AS_ROOT: "1"
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1"
  OMPI_MCA_pml: ob1
  OMPI_MCA_btl: tcp,self
  OMPI_MCA_btl_tcp_if_include: lo
  OMPI_MCA_oob_tcp_if_include: lo
"""
MEASURED = ("seconds", "tokens_per_second", "tflops", "mfu", "memory", "goodput", "rank_seconds", "slowest", "slow_")
"""Beginnings of the fields of a record that differ from run to run."""


def submit(lab: Any, config: Config, *, nodes: int, site: str = "", words: tuple[str, ...] = ()) -> str:
    """Submit a training with `aixmeg slurm submit`; the job's number."""
    root, run = config.paths.root, config.paths.at("run")
    file, profile = root / f"{run.name}.yaml", root / f"{run.name}.site.yaml"
    file.write_text(dump_config(config))
    profile.write_text(SITE.format(path=ROOT) + site)
    command = [sys.executable, "-m", "aixmeg", "slurm", "submit", "--config", str(file), "--nodes", str(nodes),
               "--profile", str(profile), *words]  # fmt: skip
    environment = {**lab.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1].rstrip(":")


def state(lab: Any, number: str) -> str:
    """SLURM's word for where the job is; empty where the controller does not answer."""
    return lab.run("squeue", "-h", "-t", "all", "-j", number, "-o", "%T", check=False).strip()


def wait_for(ready: Callable[[], object], run: Path, *, seconds: float = 300, pause: float = 0.1) -> None:
    """Until `ready()` is true; fails with the run's logs."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, logs(run)
        time.sleep(pause)


def logs(run: Path) -> str:
    """The ends of all logs of a run."""
    return "\n".join(f"== {path}\n{path.read_text()[-3000:]}" for path in sorted((run / "logs").glob("*")))


def numbers(run: Path, steps: int) -> list[Mapping[str, Any]]:
    """What every step computed, in order; fails where a step is missing or twice."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in records if record["kind"] == "train"]
    assert [record["step"] for record in train] == list(range(1, steps + 1))
    return [{name: value for name, value in one.items() if not name.startswith(MEASURED)} for one in records]


def ranks_of(run: Path) -> list[int]:
    """Process ids of the ranks of the training in `run`, rank 0 first."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if b"train" not in words or str(run / "config.yaml").encode() not in words or state == "Z":
                continue
            if b"srun" in words[0] or b"mpirun" in words[0] or b"torch.distributed.run" in words:
                continue
            pairs = (pair.partition(b"=") for pair in (folder / "environ").read_bytes().split(b"\0"))
            variables = {name: value for name, _, value in pairs}
        except (OSError, IndexError):
            continue
        rank = variables.get(b"RANK") or variables.get(b"OMPI_COMM_WORLD_RANK") or variables.get(b"SLURM_PROCID", b"0")
        found[int(folder.name)] = int(rank)
    return sorted(found, key=lambda pid: (found[pid], pid))
