"""Building the parts: in this process, in workers, which stop by themselves when this process is killed, or in the
other ranks of `mpirun -n N python -m mpi4py.futures -m aixmeg data build …`."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from aixmeg.config import DataConfig
from aixmeg.corpus.mpi_ranks import futures_started
from aixmeg.data.parts import Part, build_part
from aixmeg.errors import UserError
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer


def worker_count(wanted: int, parts: int) -> int:
    """Processes to start: `wanted`, or one per core this process may use; never more than there are parts."""
    return max(1, min(wanted or len(os.sched_getaffinity(0)), parts))


def build_parts(parts: list[Part], tokenizer: CodeTokenizer, config: DataConfig) -> Iterator[Part]:
    """Build every part, in any order, and yield each when it is done.

    Raises:
        UserError: of the first part that failed, or a worker could not start or was killed. What is built stays built.
    """
    ranks = futures_started()
    workers = worker_count(config.workers, len(parts))
    if not ranks and workers == 1:
        for part in parts:
            build_part(part, tokenizer, config)
            yield part
        return
    executor = _mpi_executor(tokenizer, config) if ranks else _executor(workers, tokenizer, config)
    try:
        futures = {_submit(executor, part): part for part in parts}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps for lack of memory; run the command again, it goes on from the "
            "finished parts, with fewer data.workers if need be"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _executor(workers: int, tokenizer: CodeTokenizer, config: DataConfig) -> Executor:
    # spawn: forked copies of a process with threads (progress bar, BLAS) may hang
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, _start_worker, (tokenizer.model_file, config))


def _mpi_executor(tokenizer: CodeTokenizer, config: DataConfig) -> Executor:
    from mpi4py.futures import MPIPoolExecutor

    return MPIPoolExecutor(initializer=_start_worker, initargs=(tokenizer.model_file, config))


def _submit(executor: Executor, part: Part) -> Future[None]:
    """Submitting starts the processes."""
    try:
        return executor.submit(_build_in_worker, part)
    except OSError as error:
        raise UserError(f"cannot start a worker process: {error}; free memory, or lower data.workers") from error


_state: dict[str, Any] = {}
"""Of a worker process: what every part needs."""


def _start_worker(model_file: Path, config: DataConfig) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_follow_parent, daemon=True).start()
    _state.update(tokenizer=CodeTokenizer(model_file), config=config)


def _follow_parent() -> None:
    """End this worker when the parent is gone, also after a kill -9, which closes nothing in an orderly way."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _build_in_worker(part: Part) -> None:
    build_part(part, _state["tokenizer"], _state["config"])
