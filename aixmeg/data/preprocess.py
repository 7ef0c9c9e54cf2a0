"""JSON lines to a Megatron indexed dataset: what Megatron-LM's tools/preprocess_data.py makes, byte for byte.

The input is cut into parts of a few megabytes that workers encode on their own; this process joins them in order while
the work goes on. Until the end everything lies in a hidden folder beside the output, which the next run empties if this
one is killed; the finished files then take their names.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import sentencepiece

from aixmeg.corpus.mpi_ranks import refuse_copies
from aixmeg.data.indexed import IndexWriter
from aixmeg.data.preprocess_options import PreprocessOptions, parse_arguments
from aixmeg.data.preprocess_part import InputPart, Task, encode_part, plan
from aixmeg.errors import UserError
from aixmeg.files import sync, write_error
from aixmeg.tokenizer.encoder import describe, open_encoder

_SHARE: Final = (
    "start one process with --workers {count} for the cores of a machine, or, for several machines, one process per "
    "input file, as slurm/preprocess.sbatch does"
)
"""What ranks of mpirun or srun are told."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status (2 for bad input, 130 when interrupted)."""
    gc.disable()  # millions of short-lived records, none in a cycle
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is half-done is removed
    try:
        preprocess(parse_arguments(sys.argv[1:] if words is None else words))
    except UserError as error:
        print(f"preprocess_data: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("preprocess_data: interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
        gc.enable()
    return 0


def preprocess(options: PreprocessOptions) -> list[Path]:
    """Write PREFIX_KEY_document.bin and .idx for every key; returns the .bin files. Workers are forks of this process.

    Raises:
        UserError: bad input or model, another run of the same output at work, several ranks that would all do the
            same, or a disk that refuses a write.
    """
    refuse_copies("tools/preprocess_data.py", remedy=_SHARE)
    processor = load_model(options.tokenizer_model)
    if options.append_eod and processor.eos_id() < 0:
        raise UserError(f"{options.tokenizer_model} has no end-of-sentence piece for --append-eod; leave that out")
    task = Task(
        encoder=open_encoder(processor, split_boundary=False),
        keys=options.json_keys,
        dtype=megatron_type(processor.vocab_size()),
        eod=processor.eos_id() if options.append_eod else None,
    )
    if options.log_interval:
        print(f"encoder: {describe(task.encoder)}; {len(options.inputs)} files", file=sys.stderr)
    prefix = options.output_prefix
    with _work_folder(prefix.with_name(f".{prefix.name}.preprocess")) as work:
        parts = plan(options.inputs, work)
        names = [f"{prefix.name}_{key}_document" for key in options.json_keys]
        with contextlib.ExitStack() as stack:
            joined = [_Joined(work / name, number, task.dtype, stack) for number, name in enumerate(names)]
            progress = _Progress(options.log_interval)
            for part, (documents, size) in zip(parts, _encoded(parts, task, options.workers), strict=True):
                for one in joined:
                    one.append(part)
                progress.add(documents, size)
        return [_publish(work / name, prefix.with_name(name)) for name in names]


def load_model(path: Path) -> sentencepiece.SentencePieceProcessor:
    """A SentencePiece model of any kind.

    Raises:
        UserError: unreadable, or no such model.
    """
    try:
        if not (blob := path.read_bytes()):
            raise RuntimeError("the file is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=blob)
    except OSError as error:
        raise UserError(f"cannot read the tokenizer {path}: {error.strerror}; check --tokenizer-model") from error
    except RuntimeError as error:
        raise UserError(f"{path} is not a SentencePiece model ({error}); check --tokenizer-model") from error


def megatron_type(vocab_size: int) -> np.dtype[Any]:
    """Megatron's choice: two bytes below 65,500 ids (`DType.optimal_dtype`), where aixmeg's own data goes to 65,536."""
    return np.dtype("<u2") if vocab_size < 65_500 else np.dtype("<i4")


class _Joined:
    """The parts' output of one key, one after the other."""

    def __init__(self, path: Path, key: int, dtype: np.dtype[Any], stack: contextlib.ExitStack) -> None:
        self.key = key
        self.path = path.with_name(path.name + ".bin")
        try:
            self.tokens: IO[bytes] = stack.enter_context(self.path.open("wb", buffering=0))
        except OSError as error:
            raise write_error(self.path, error) from error
        self.index = stack.enter_context(IndexWriter(path.with_name(path.name + ".idx"), dtype))

    def append(self, part: InputPart) -> None:
        """Take over and remove a part's files."""
        ids = part.output(self.key, ".bin")
        lengths, counts = part.output(self.key, ".lengths"), part.output(self.key, ".counts")
        try:
            left = ids.stat().st_size
            with ids.open("rb") as source:
                while left:
                    left -= os.sendfile(self.tokens.fileno(), source.fileno(), None, left)
            self.index.add(np.fromfile(lengths, "<i4"), np.fromfile(counts, "<i4"))
            for path in (ids, lengths, counts):
                path.unlink()
        except OSError as error:
            raise write_error(self.path, error) from error


class _Progress:
    """Lines on standard error, as Megatron's tool writes them."""

    def __init__(self, interval: int) -> None:
        self.interval, self.documents, self.bytes, self.start = interval, 0, 0, time.monotonic()

    def add(self, documents: int, size: int) -> None:
        before = self.documents
        self.documents += documents
        self.bytes += size
        if self.interval and before // self.interval != self.documents // self.interval:
            seconds = max(time.monotonic() - self.start, 1e-9)
            rates = f"{self.documents / seconds:.0f} docs/s, {self.bytes / seconds / 2**20:.1f} MB/s"
            print(f"Processed {self.documents} documents ({rates}).", file=sys.stderr)


_task: Task | None = None
"""Of a worker process, and of the parent at the moment of a fork."""


def _encoded(parts: list[InputPart], task: Task, workers: int) -> Iterator[tuple[int, int]]:
    """(documents, bytes) of every part, in order, each yielded when its files are there."""
    if workers == 1 or len(parts) < 2:
        yield from (encode_part(part, task) for part in parts)
        return
    global _task  # noqa: PLW0603 - inherited by the forked workers: neither the model nor a module is loaded twice
    _task = task
    executor = ProcessPoolExecutor(min(workers, len(parts)), multiprocessing.get_context("fork"), _start_worker)
    try:
        yield from executor.map(_encode_in_worker, parts)
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps for lack of memory; run again with fewer --workers"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
        _task = None


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this worker when the parent is gone, also after a kill -9."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _encode_in_worker(part: InputPart) -> tuple[int, int]:
    if _task is None:
        raise RuntimeError("the worker was not forked from a process with a task")
    return encode_part(part, _task)


@contextlib.contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that is this run's alone and gone afterwards; what a killed run left in it is removed."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however it ends
            if not folder.exists() or os.fstat(descriptor).st_ino != folder.stat().st_ino:
                raise BlockingIOError  # a run that ended just now has removed what we opened
            for left in folder.iterdir():
                left.unlink()
        except BlockingIOError as error:
            raise UserError(f"another run is writing the same output ({folder}); wait for it to end") from error
        except OSError as error:
            raise write_error(folder, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(work: Path, final: Path) -> Path:
    """Give the finished files their names; no index is there while its tokens are replaced."""
    tokens, index = final.with_name(final.name + ".bin"), final.with_name(final.name + ".idx")
    try:
        sync(work.with_name(tokens.name))
        index.unlink(missing_ok=True)
        work.with_name(tokens.name).rename(tokens)
        work.with_name(index.name).rename(index)
        sync(final.parent)
    except OSError as error:
        raise write_error(tokens, error) from error
    return tokens
