"""Runs a python function or command on several gloo ranks of this machine, as torchrun would, and gathers the results.

    losses = run_function(worker, 2, "an argument")     # [rank 0's return value, rank 1's]
    outputs = run_command(["-m", "aixmeg", "train", ...], 2)

`worker` is a function at the top of a test file. Each rank is a fresh interpreter in which torch.distributed is
started (`aixmeg.parallel.launch`) before the call and stopped after it. Arguments and results travel by pickle.
"""

import importlib.util
import inspect
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_function(
    worker: Callable[..., Any], ranks: int, *arguments: Any, timeout: float = 180, **env: str
) -> list[Any]:
    """What `worker(*arguments)` returns on each rank. Fails with the ranks' outputs if one of them does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "arguments").write_bytes(pickle.dumps(arguments))
        source = inspect.getsourcefile(worker)
        assert source is not None
        run_command([__file__, source, worker.__name__, name], ranks, timeout=timeout, env=env)
        return [pickle.loads((folder / f"result{rank}").read_bytes()) for rank in range(ranks)]


def run_command(
    arguments: Sequence[str | Path], ranks: int, *, timeout: float = 180, env: Mapping[str, str] | None = None
) -> list[str]:
    """Output (stdout and stderr) of `python ARGUMENTS` on each rank. Fails with all outputs if a rank fails."""
    processes = start_command(arguments, ranks, env=env)
    try:
        deadline = time.monotonic() + timeout
        while any(process.poll() is None for process, _ in processes):
            failed = any(process.poll() not in (None, 0) for process, _ in processes)
            if failed or time.monotonic() > deadline:
                time.sleep(1.0 if failed else 0.0)  # the other ranks may be about to say why
                break
            time.sleep(0.02)
        codes = [process.poll() for process, _ in processes]
    finally:
        outputs = [finish(process, log) for process, log in processes]
    report = "\n".join(f"--- rank {i}, exit {codes[i]}\n{outputs[i][-6000:]}" for i in range(ranks))
    assert codes == [0] * ranks, f"{list(arguments)} on {ranks} ranks\n{report}"
    return outputs


def start_command(
    arguments: Sequence[str | Path], ranks: int, *, env: Mapping[str, str] | None = None
) -> list[tuple[subprocess.Popen[bytes], Any]]:
    """Start the ranks and return (process, its log file) of each; end them with `finish`."""
    port = str(free_port())
    processes = []
    for rank in range(ranks):
        log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `finish`)
        variables = {
            **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/dist")]),
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **(env or {}),
        }  # fmt: skip
        command = [sys.executable, *map(str, arguments)]
        processes.append(
            (subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log), log)
        )
    return processes


def finish(process: subprocess.Popen[bytes], log: Any) -> str:
    """Kill the rank if it still runs; its output."""
    if process.poll() is None:
        process.kill()
    process.wait()
    log.seek(0)
    text = log.read().decode(errors="replace")
    log.close()
    return text


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _rank_main(source: str, function: str, folder: str) -> None:
    from aixmeg.parallel import launch

    spec = importlib.util.spec_from_file_location("worker", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    me = launch.discover()
    launch.start(me)
    result = getattr(module, function)(*pickle.loads((Path(folder) / "arguments").read_bytes()))
    (Path(folder) / f"result{me.rank}").write_bytes(pickle.dumps(result))
    launch.stop()


if __name__ == "__main__":
    _rank_main(*sys.argv[1:])
