"""Runs a python function or command on several gloo ranks of this machine and gathers the results.

    losses = run_function(worker, 2, "an argument")     # [rank 0's return value, rank 1's]
    outputs = run_command(["-m", "aixmeg", "train", ...], 2)

`worker` is a function of an importable module, such as the test file. Its ranks are forked from a server that has
imported torch and megatron-core once; torch.distributed is started (`aixmeg.parallel.launch`) before the call and
stopped after it. A command gets fresh interpreters with torchrun's variables.
"""

import contextlib
import multiprocessing
import os
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["aixmeg.parallel", "aixmeg.model.builder", "megatron.core.optimizer", "megatron.core.pipeline_parallel",
     "megatron.core.distributed", "megatron.core.dist_checkpointing"]
)  # fmt: skip


def run_function(worker: Callable[..., Any], ranks: int, *arguments: Any, timeout: float = 180) -> list[Any]:
    """What `worker(*arguments)` returns on each rank. Fails with the ranks' outputs if one of them does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = [
            _context.Process(target=_rank_main, args=(worker, arguments, variables, folder))
            for variables in rank_variables(ranks)
        ]
        for process in processes:
            process.start()
        try:
            _wait(lambda: [process.exitcode for process in processes], timeout)
        finally:
            codes = [process.exitcode for process in processes]
            for process in processes:
                process.kill()
                process.join()
        _check(worker.__name__, codes, [(folder / f"log{rank}").read_text(errors="replace") for rank in range(ranks)])
        return [pickle.loads((folder / f"result{rank}").read_bytes()) for rank in range(ranks)]


def run_command(
    arguments: Sequence[str | Path], ranks: int, *, timeout: float = 180, env: Mapping[str, str] | None = None
) -> list[str]:
    """Output (stdout and stderr) of `python ARGUMENTS` on each rank. Fails with all outputs if a rank fails."""
    with tempfile.TemporaryDirectory() as name:
        logs = [Path(name, f"log{rank}") for rank in range(ranks)]
        processes = []
        for variables, log in zip(rank_variables(ranks), logs, strict=True):
            with log.open("wb") as out:
                everything = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables, **(env or {})}
                command = [sys.executable, *map(str, arguments)]
                processes.append(
                    subprocess.Popen(command, env=everything, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                )
        try:
            _wait(lambda: [process.poll() for process in processes], timeout)
        finally:
            codes = [process.poll() for process in processes]
            for process in processes:
                process.kill()
                process.wait()
        outputs = [log.read_text(errors="replace") for log in logs]
        _check(" ".join(map(str, arguments)), codes, outputs)
        return outputs


def rank_variables(ranks: int) -> Iterator[dict[str, str]]:
    """The environment that torchrun would give to each rank."""
    port = str(free_port())
    for rank in range(ranks):
        yield {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }  # fmt: skip


def free_port() -> int:
    """A loopback port that nobody listens on now, below those that Linux gives to outgoing connections: a rank that
    tries to reach one of these before rank 0 listens there may connect to itself, and hold it."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _wait(codes: Callable[[], list[int | None]], timeout: float) -> None:
    """Until all ranks have ended, one has failed, or the time is over."""
    deadline = time.monotonic() + timeout
    while None in codes() and time.monotonic() < deadline:
        if any(codes()):
            time.sleep(1.0)  # the other ranks may be about to say why
            return
        time.sleep(0.02)


def _check(what: str, codes: list[int | None], outputs: list[str]) -> None:
    report = "\n".join(f"--- rank {rank}, exit {code}\n{outputs[rank][-6000:]}" for rank, code in enumerate(codes))
    assert codes == [0] * len(codes), f"{what} on {len(codes)} ranks\n{report}"


def _rank_main(worker: Callable[..., Any], arguments: tuple, variables: dict[str, str], folder: Path) -> None:
    os.environ.update(variables)
    rank = variables["RANK"]
    with (folder / f"log{rank}").open("wb", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from aixmeg.parallel import launch

    try:
        launch.start(launch.discover())
        result = worker(*arguments)
        (folder / f"result{rank}").write_bytes(pickle.dumps(result))
        launch.stop()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
