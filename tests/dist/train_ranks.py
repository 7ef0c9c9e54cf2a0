"""Ranks of `aixmeg train` in forked processes, and a small dataset for them.

The fork server imports torch and megatron-core once, so that a rank starts in milliseconds and can be killed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aixmeg.config import Config, ModelConfig, OptimizerConfig, ParallelConfig, PathsConfig, TokenizerConfig
from aixmeg.config import TrainConfig as Train

VOCABULARY = 128
LENGTH = 64
MEASURED = ("seconds", "tokens_per_second", "tflops", "mfu", "memory", "goodput")
"""Beginnings of the fields of a record that differ from run to run."""
TP2 = ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=True)

HERE = Path(__file__).resolve().parent
# The server takes its path from the environment alone, and passes over modules that it does not find.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")])
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["train_ranks_preload"])


def tiny_config(root: Path, parallel: ParallelConfig | None = None, **train: Any) -> Config:
    """Two layers of width 64; four samples of 64 tokens per step."""
    settings = {"steps": 8, "global_batch_size": 4, "micro_batch_size": 2, "precision": "fp32", "eval_interval": 4,
                "eval_samples": 6, "save_interval": 4, **train}  # fmt: skip
    return Config(
        paths=PathsConfig(root=root),
        tokenizer=TokenizerConfig(vocab_size=VOCABULARY),
        model=ModelConfig(
            num_layers=2, hidden_size=64, ffn_hidden_size=128, num_attention_heads=4, num_query_groups=2,
            seq_length=LENGTH, vocab_size=VOCABULARY,
        ),
        parallel=parallel or ParallelConfig(),
        optimizer=OptimizerConfig(lr=5e-3, min_lr=5e-4, warmup_steps=1),
        train=Train(**settings),
    )  # fmt: skip


def changed(config: Config, **sections: dict[str, Any]) -> Config:
    """A copy with some options replaced: changed(config, train={"steps": 3})."""
    return dataclasses.replace(
        config, **{name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    )


def make_inputs(root: Path) -> None:
    """A tokenizer that is only copied and a dataset with a learnable pattern: each token is a function of the last."""
    tokenizer = root / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "tokenizer.model").write_bytes(b"not read by training")
    (tokenizer / "tokenizer.json").write_text("{}")
    make_dataset(root / "data", tokenizer / "tokenizer.model", seed=5)


def make_dataset(data: Path, tokenizer: Path, *, seed: int) -> None:
    """What `aixmeg data build` would write to `data`."""
    data.mkdir()
    rng = np.random.default_rng(seed)
    train = _write_split(data / "train", rng, documents=12)
    _write_split(data / "valid", rng, documents=2)
    np.save(data / "train.unigram.npy", np.bincount(train, minlength=VOCABULARY).astype(np.int64))
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    (data / "data.json").write_text(json.dumps({"vocab_size": VOCABULARY, "tokenizer_sha256": digest}))


def _write_split(prefix: Path, rng: np.random.Generator, *, documents: int) -> np.ndarray:
    import torch
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    from aixmeg.data.sidecar import ROW

    builder = IndexedDatasetBuilder(f"{prefix}.bin", dtype=np.uint16)
    rows, everything = [], []
    for document in range(documents):
        tokens: list[int] = []
        for example in range(6):
            length = int(rng.integers(20, 90))
            ids = [1, *_text(rng, length), 2]
            infill = example % 2 == 1
            middle = (len(tokens) + length // 2, length - length // 2) if infill else (-1, 0)
            rows.append((document, len(tokens), len(ids), 2 * infill, infill, *middle, len(rows), 0, 0, 0))
            tokens += ids
        builder.add_item(torch.tensor(tokens))
        builder.end_document()
        everything += tokens
    builder.finalize(f"{prefix}.idx")
    np.save(f"{prefix}.examples.npy", np.array(rows, dtype=ROW))
    names = [("C", "Go", "Python")[row // 2 % 3] for row in range(len(rows))]
    Path(f"{prefix}.files.jsonl").write_text("".join(json.dumps({"language": name}) + "\n" for name in names))
    return np.array(everything)


def _text(rng: np.random.Generator, length: int) -> list[int]:
    ids = [int(rng.integers(10, VOCABULARY))]
    while len(ids) < length:
        ids.append(10 + (ids[-1] * 7 + int(rng.integers(0, 4))) % (VOCABULARY - 10))
    return ids


def start_ranks(function: Callable[..., None], count: int, *arguments: Any, log: Path) -> list[Any]:
    """Start `function(*arguments)` on `count` ranks; stdout and stderr of rank r go to LOG.r."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(count):
        environment = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": port}  # fmt: skip
        process = _context.Process(target=_rank, args=(function, arguments, environment, f"{log}.{rank}"))
        process.start()
        started.append(process)
    return started


def run_ranks(function: Callable[..., None], count: int, *arguments: Any, log: Path, timeout: float = 120) -> list[int]:
    """As `start_ranks`, and wait; when one fails the others are told to end, as by torchrun. The exit statuses."""
    ranks = start_ranks(function, count, *arguments, log=log)
    deadline = time.monotonic() + timeout
    while any(process.is_alive() for process in ranks) and time.monotonic() < deadline:
        if any(process.exitcode for process in ranks):
            for process in ranks:
                process.join(1.0)
                process.terminate()
        time.sleep(0.01)
    kill(ranks)
    return [process.exitcode for process in ranks]


def kill(ranks: list[Any]) -> None:
    """SIGKILL to all ranks, and wait."""
    for process in ranks:
        process.kill()
    for process in ranks:
        process.join()


def train_ranks(config: Config, count: int, *, log: Path, resume: bool = False) -> None:
    """Train on `count` ranks and fail with their output unless all end well."""
    statuses = run_ranks(train_rank, count, config, resume, log=log)
    assert statuses == [0] * count, (statuses, *(Path(f"{log}.{rank}").read_text() for rank in range(count)))


def train_rank(config: Config, resume: bool = False) -> None:
    """One rank of the real command."""
    from aixmeg.train.command import train

    train(config, resume=resume)


def read_metrics(run: Path, kind: str = "train", names: tuple[str, ...] = ("loss", "grad_norm", "lr")) -> list[tuple]:
    """The records of one kind, as (step, values …)."""
    whole, _, _ = (run / "metrics.jsonl").read_text().rpartition("\n")  # a line may be in the making
    records = [json.loads(line) for line in whole.splitlines()]
    return [(r["step"], *(r[name] for name in names)) for r in records if r["kind"] == kind]


def _rank(function: Callable[..., None], arguments: tuple, environment: dict[str, Any], log: str) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    with Path(log).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from aixmeg.errors import UserError

    try:
        function(*arguments)
    except UserError as error:  # what aixmeg.cli does
        print(f"aixmeg: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    except Exception:  # a forked rank has no interpreter above it that would print the error
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
