"""What one rank, one pair of ranks and one step cost, measured on this machine: the unit costs of tools/scale.py."""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
_OPEN = Path("/proc/self/fd")
MODULES = ("build", "checkpoint", "loop", "metrics", "run_folder")
_COUNT = """
import importlib, json, resource, sys, time
from importlib import _bootstrap_external as paths
begun, counts = time.perf_counter(), {"open": 0, "list": 0, "stat": 0}
stat = paths._path_stat
def counted(path):
    counts["stat"] += 1
    return stat(path)
paths._path_stat = counted
def heard(event, arguments):
    if event == "open": counts["open"] += 1
    if event in ("os.listdir", "os.scandir"): counts["list"] += 1
sys.addaudithook(heard)
for name in %r:
    importlib.import_module("aixmeg.train." + name)
importlib.import_module("torch.utils.tensorboard")
counts["seconds"] = time.perf_counter() - begun
counts["cpu_seconds"] = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
print(json.dumps(counts))
"""


def measure() -> dict[str, float]:
    """All unit costs; seconds, bytes and counts as their names say."""
    return {**start(), **groups(), **records(), **disk()}


def start() -> dict[str, float]:
    """What a rank reads before it can train, and how long that takes with everything in the page cache."""
    best: dict[str, float] = {}
    for _ in range(3):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", _COUNT % (MODULES,)], cwd=ROOT, check=True,
                              capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        best = found if not best or found["cpu_seconds"] < best["cpu_seconds"] else best
    return {"start_cpu_seconds": round(best["cpu_seconds"], 3), "start_opens": best["open"],
            "start_stats": best["stat"] + best["list"]}  # fmt: skip


def groups(sizes: tuple[int, ...] = (8, 16, 24, 32)) -> dict[str, float]:
    """What a gloo group of all ranks takes: open files of a rank for each other rank, CPU seconds of a rank for each
    other, and of rank 0 for each pair, whose addresses it hands out. From groups of several sizes on this machine; with
    TORCH_GLOO_LAZY_INIT also the open files then."""
    importlib.import_module("torch.distributed")
    rows = np.array([(size, *_group(size)) for size in sizes])
    ranks, cpu, zero, files = rows.T
    os.environ["TORCH_GLOO_LAZY_INIT"] = "1"
    lazy = np.array([(size, *_group(size)) for size in sizes])
    del os.environ["TORCH_GLOO_LAZY_INIT"]
    return {
        "pair_cpu_seconds": round(max(float(np.polyfit(ranks, cpu, 1)[0]), 0.0), 7),
        "pair_files": round(float(np.polyfit(ranks, files, 1)[0]), 3),
        "store_cpu_seconds_per_pair": round(float(np.polyfit(ranks**2, zero, 1)[0]), 7),
        "lazy_store_cpu_seconds_per_pair": round(max(float(np.polyfit(lazy[:, 0] ** 2, lazy[:, 2], 1)[0]), 0.0), 7),
        "lazy_files_per_doubling": round(float(np.polyfit(np.log2(ranks), lazy[:, 3], 1)[0]), 2),
    }


def _group(size: int) -> tuple[float, float, float]:
    """Mean CPU seconds of a rank other than 0, CPU seconds of rank 0, most open files, for one group."""
    fork = multiprocessing.get_context("fork")
    queue: Any = fork.Queue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [fork.Process(target=_join, args=(rank, size, port, queue)) for rank in range(size)]
    for process in processes:
        process.start()
    found = dict(queue.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    others = [found[rank][0] for rank in range(1, size)]
    return sum(others) / len(others), found[0][0], max(files for _, files in found.values())


def _join(rank: int, size: int, port: int, queue: Any) -> None:
    import torch.distributed as dist

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    dist.barrier()
    files, before = len(list(_OPEN.iterdir())), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    group: Any = dist.new_group(backend="gloo")
    dist.barrier(group=group)
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - before
    queue.put((rank, (spent, len(list(_OPEN.iterdir())) - files)))
    time.sleep(0.5)
    dist.barrier()
    dist.destroy_process_group()


def records() -> dict[str, float]:
    """Bytes that a step and a rank's stacks leave, from a short training of the tests."""
    sys.path.insert(0, str(ROOT / "tests/dist"))
    from train_ranks import changed, kill, make_inputs, start_ranks, tiny_config, train_rank, train_ranks

    from aixmeg.plan.counts import Shape

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_inputs(root)
        config = tiny_config(root, steps=40, save_interval=20, eval_interval=0, precision="bf16")
        train_ranks(config, 2, log=root / "log")
        run = config.paths.at("run")
        failing = changed(config, train={"steps": 100_000}, paths={"run": Path("failing")})
        ranks = start_ranks(train_rank, 2, failing, False, log=root / "failing.log")
        metrics = failing.paths.at("run") / "metrics.jsonl"
        while not metrics.exists() or metrics.stat().st_size < 2000:
            time.sleep(0.05)
        ranks[1].kill()
        ranks[0].join(30)
        kill(ranks)
        (stacks,) = failing.paths.at("run").glob("failures/*/rank-0.txt")
        checkpoint = sum(path.stat().st_size for path in (run / "checkpoints/step-00000040").glob("*.distcp"))
        weights = Shape.of(config.model).parameters
        return {
            "metrics_bytes": round((run / "metrics.jsonl").stat().st_size / 40),
            "board_bytes": round(sum(path.stat().st_size for path in (run / "tensorboard").iterdir()) / 40),
            "stacks_bytes": stacks.stat().st_size,
            "checkpoint_bytes_per_parameter": round(checkpoint / weights, 2),
        }


def disk(size: int = 256 << 20) -> dict[str, float]:
    """Bytes a second that one rank digests (SHA-256) and writes here, fsync included; seconds for an empty file."""
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    begun = time.process_time()
    for _ in range(size >> 20):
        digest.update(block)
    hashed = size / (time.process_time() - begun)
    with tempfile.NamedTemporaryFile(dir=ROOT) as file:
        begun = time.perf_counter()
        for _ in range(size >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        written = size / (time.perf_counter() - begun)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        begun = time.perf_counter()
        for number in range(200):
            with (Path(folder) / str(number)).open("wb") as small:
                os.fsync(small.fileno())
        created = (time.perf_counter() - begun) / 200
    return {
        "file_seconds": round(created, 6),
        "hash_bytes_per_second": round(hashed),
        "write_bytes_per_second": round(written),
    }
