#!/usr/bin/env python3
"""The parity matrix: does every layout train as one rank does? Prints a table, which docs/parallel.md keeps.

    python tools/parity.py [--trial small narrow-7b] [--ranks 2 3 4] [--write docs/parallel.md]

Starts the ranks on this machine (gloo, or nccl where there are as many GPUs) and takes a few minutes on 2 cores. What
is compared, and within what, stands in aixmeg/train/parity.py. The exit status is 1 where a layout disagrees.
"""

from __future__ import annotations

import argparse
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from aixmeg.files import atomic_write

BEGIN, END = "<!-- parity -->", "<!-- /parity -->"


def main() -> int:
    """Train everything, print, and say whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--ranks", type=int, nargs="*", default=[2, 3, 4], help="numbers of ranks whose layouts are trained"
    )
    parser.add_argument("--trial", nargs="*", default=["small", "narrow-7b"], help="models that are trained")
    parser.add_argument("--write", type=Path, default=None, help="file in which to replace the table")
    parser.add_argument("--work", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        _rank(options.ranks[0], options.trial[0], options.work)
        return 0
    from aixmeg.train import parity

    rows, agree = [], True
    for name in options.trial:
        trial = parity.TRIALS[name]
        alone = _run(1, name)[parity.alone(trial)]
        for ranks in options.ranks:
            for case, course in _run(ranks, name).items():
                distance = parity.distance(course, alone, trial)
                agree = agree and distance.agrees
                values = (distance.loss, distance.norm, *([distance.weight] if trial.compare_weights else []))
                figures = " | ".join([f"{value:.1e}" for value in values] + ["–"] * (3 - len(values)))
                verdict = "yes" if distance.agrees else "**no**"
                rows.append(f"| {name} | {case.layout} | {ranks} | {case.recompute} | {figures} | {verdict} |")
                print(rows[-1], flush=True)
    head = [
        "| model | layout | ranks | recomputation | loss | gradient norm | weights | agrees |",
        "|---|---|---|---|---|---|---|---|",
    ]
    if options.write is not None:
        text = options.write.read_text()
        before, rest = text.split(BEGIN)
        with atomic_write(options.write) as file:
            file.write(before + "\n".join([BEGIN, *head, *rows, END]) + rest.split(END)[1])
    return 0 if agree else 1


def _run(ranks: int, trial: str) -> dict:
    """All cases of a trial on so many ranks: what rank 0 found."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        processes = []
        for rank in range(ranks):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}  # fmt: skip
            command = [sys.executable, __file__, "--trial", trial, "--ranks", str(ranks), "--work", folder]
            processes.append(subprocess.Popen(command, env={**os.environ, **place}))
        if any(process.wait() for process in processes):
            raise SystemExit(f"a rank of {ranks} failed")
        return pickle.loads((Path(folder) / "found").read_bytes())  # noqa: S301 - written by our own rank just now


def _rank(ranks: int, name: str, folder: Path) -> None:
    from aixmeg.parallel import launch
    from aixmeg.train import parity

    launch.start(launch.discover())
    trial = parity.TRIALS[name]
    cases = parity.cases(ranks, trial) if ranks > 1 else [parity.alone(trial)]
    found = dict(zip(cases, parity.train_courses(cases), strict=True))
    if launch.discover().rank == 0:
        (folder / "found").write_bytes(pickle.dumps(found))
    launch.stop()


if __name__ == "__main__":
    sys.exit(main())
