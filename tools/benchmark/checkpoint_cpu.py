"""How long a checkpoint keeps the training waiting: written beside it and written while it waits, in one run.

    python tools/benchmark/checkpoint_cpu.py [--ranks 2] [--layers 8] [--hidden 512] [--rounds 3] [--out DIR]

Two ranks share the optimizer's states (ZeRO-1). The ways take turns; after each save the training goes on for some
steps, whose time shows what the writing costs them. Times are medians over the rounds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from hardware import describe

from aixmeg.config import PRESETS, Config, ParallelConfig, PathsConfig, TokenizerConfig, TrainConfig
from aixmeg.files import write_json

WAYS = ("beside", "waiting")


def rank_main(options: argparse.Namespace, folder: str, variables: dict[str, str]) -> None:
    """One rank; rank 0 writes the rows to `folder`."""
    os.environ.update(variables)
    import torch
    import torch.distributed as dist

    from aixmeg.parallel import launch
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.batches import make_batch
    from aixmeg.train.build import build_training
    from aixmeg.train.manifest import describe as describe_training
    from aixmeg.train.saver import Saver
    from aixmeg.train.step import train_step

    torch.set_num_threads(1)
    launch.start(launch.discover())
    model = replace(PRESETS["tiny"], num_layers=options.layers, hidden_size=options.hidden, vocab_size=8192,
                    ffn_hidden_size=4 * options.hidden, seq_length=128)  # fmt: skip
    config = Config(
        paths=PathsConfig(root=Path(folder)), tokenizer=TokenizerConfig(vocab_size=8192), model=model,
        parallel=ParallelConfig(),
        train=TrainConfig(precision="fp32", global_batch_size=options.ranks, keep_checkpoints=1),
    )  # fmt: skip
    training = build_training(config, Topology.create(config.parallel, 1), torch.device("cpu"))
    batch = make_batch([torch.randint(0, 8192, (129,)).numpy()], torch.device("cpu"))
    savers = {way: Saver(training, Path(folder) / way, asynchronous=way == "beside") for way in WAYS}
    times: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    number = 0

    def steps(count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            train_step(training, [batch], lr=1e-4)
        return (time.perf_counter() - begun) / count

    alone = [steps(5) for _ in range(2)][-1:]
    for round_ in range(options.rounds + 1):
        for way, saver in savers.items():
            number += 1
            dist.barrier()
            begun = time.perf_counter()
            saver.save(number, describe_training(config, step=number, data={}))
            waited = time.perf_counter() - begun
            during = steps(4)
            saver.wait(final=True)
            whole = time.perf_counter() - begun
            alone.append(steps(4))
            if round_:  # the first of each makes folders and warms up
                times[way].append((waited, during, whole))
    if dist.get_rank() == 0:
        size = sum(path.stat().st_size for path in (Path(folder) / "waiting").rglob("*") if path.is_file())
        parameters = sum(parameter.numel() for chunk in training.models for parameter in chunk.parameters())
        rows = [
            {"way": way, "waited_seconds": round(median(t[0] for t in found), 3),
             "step_seconds_meanwhile": round(median(t[1] for t in found), 3)}
            for way, found in times.items()
        ]  # fmt: skip
        write_json(
            Path(folder) / "rows.json",
            {"parameters": parameters, "bytes": size, "step_seconds_alone": round(median(alone), 3), "rows": rows},
        )
    dist.barrier()
    launch.stop()


def main() -> None:
    """Measure and print; with --out also write a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None, help="folder for checkpoint_cpu.json")
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ranks = []
        for rank in range(options.ranks):
            variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": options.ranks, "MASTER_ADDR": "127.0.0.1",
                         "MASTER_PORT": port, "OMP_NUM_THREADS": 1}  # fmt: skip
            arguments = (options, folder, {name: str(value) for name, value in variables.items()})
            ranks.append(context.Process(target=rank_main, args=arguments))
            ranks[-1].start()
        for process in ranks:
            process.join()
        if any(process.exitcode for process in ranks):
            raise SystemExit("a rank failed")
        from aixmeg.files import read_json

        found: dict[str, Any] = {"hardware": describe(), **read_json(Path(folder) / "rows.json")}
    print(found)
    if options.out is not None:
        write_json(options.out / "checkpoint_cpu.json", found)


if __name__ == "__main__":
    main()
