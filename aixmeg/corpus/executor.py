"""Run a step over shards in worker processes that may crash or hang in a parser without taking the job with them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from aixmeg.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

CPU_SECONDS_PER_FILE: Final = 60
"""For parsers that never return. The bound on parser steps ends every slow parse long before, on any machine."""
_MEMORY_PER_WORKER: Final = 2 << 30
_MEMORY_PER_FILE_BYTE: Final = 100
_POLL_SECONDS: Final = 0.2
_FATAL: Final = {-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)}

Tick = Callable[[int, int], None]
"""Called before each file with its index in the shard, and behind it with -1; and the bytes of the shard that are
done. A crash between files is nobody's fault."""
Step = Callable[[Path, int, Mapping[int, str], Tick], None]
"""(job folder, shard, file index → reason to drop it unseen, tick). A module-level function, which writes its output
atomically: that the output exists marks the shard as done."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    at: Any
    """Shared with the process: index of the file at hand, bytes of the shard done."""
    shard: int | None = None


@dataclass
class _Run:
    step: Step
    job: Path
    todo: deque[int]
    done_bytes: dict[int, int] = field(default_factory=dict)
    skip: dict[int, dict[int, str]] = field(default_factory=dict)


class Workers:
    """`with Workers(count, max_file_bytes=…) as workers: workers.run(step, job, shards, progress)`.

    Processes are spawned, not forked: a fork of a process with threads may hang.
    """

    def __init__(self, count: int, *, max_file_bytes: int, cpu_seconds_per_file: int = CPU_SECONDS_PER_FILE) -> None:
        self._count = count or len(os.sched_getaffinity(0))
        self._limits = (_MEMORY_PER_WORKER + _MEMORY_PER_FILE_BYTE * max_file_bytes, cpu_seconds_per_file)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()  # an idle worker sees the end of its pipe and returns
            if worker.shard is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def run(self, step: Step, job: Path, shards: Iterable[int], progress: Callable[[int], None]) -> None:
        """Run `step` for each shard, in any order; `progress` is given the bytes done so far.

        A worker that crashes or hangs is replaced, and its shard done again without the file that caused it.

        Raises:
            UserError: of a step, or a worker was killed from outside. Finished shards stay finished.
        """
        run = _Run(step, job, deque(shards))
        while len(self._workers) < min(self._count, len(run.todo)):
            self._workers.append(self._start())
        for worker in self._workers:
            self._next(run, worker)
        while any(worker.shard is not None for worker in self._workers):
            busy = {worker.pipe: worker for worker in self._workers if worker.shard is not None}
            for ready in connection.wait(list(busy), timeout=_POLL_SECONDS):
                worker = busy[ready]  # pyright: ignore[reportArgumentType]
                try:
                    message = worker.pipe.recv()
                except (EOFError, ConnectionError):
                    self._replace(run, worker)
                    continue
                if message is not None:
                    raise message
                self._next(run, worker)
            for worker in self._workers:
                if worker.shard is not None:
                    run.done_bytes[worker.shard] = worker.at[1]
            progress(sum(run.done_bytes.values()))

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        try:
            ours, theirs = context.Pipe()
            at = context.RawArray("q", 2)
            process = context.Process(target=_work, args=(theirs, at, self._limits, os.getpid()), daemon=True)
            process.start()
        except OSError as error:
            raise UserError(f"cannot start a worker process: {error}; free memory, or space in {gettempdir()}, "
                            "or lower corpus.workers") from error  # fmt: skip
        theirs.close()
        return _Worker(process, ours, at)

    def _next(self, run: _Run, worker: _Worker) -> None:
        if worker.shard is not None:
            run.done_bytes[worker.shard] = worker.at[1]
        worker.shard = run.todo.popleft() if run.todo else None
        if worker.shard is not None:
            worker.at[:] = (-1, 0)
            with suppress(ConnectionError):  # it is dead already, as the end of its pipe will tell
                worker.pipe.send((run.step, run.job, worker.shard, run.skip.get(worker.shard, {})))

    def _replace(self, run: _Run, worker: _Worker) -> None:
        """A worker is dead: blame the file at hand if it died of a parser, and do its shard again without that file."""
        worker.process.join()
        code, index, shard = worker.process.exitcode, worker.at[0], worker.shard
        self._workers.remove(worker)
        worker.pipe.close()
        assert shard is not None
        if index < 0 or not (code == -signal.SIGPROF or code in _FATAL):
            raise UserError(
                f"a worker process ended with status {code} (-9 is often a lack of memory); run the command again, it "
                "goes on from the finished shards, with fewer corpus.workers if need be"
            )
        run.skip.setdefault(shard, {})[index] = "parser_timeout" if code == -signal.SIGPROF else "parser_crash"
        run.todo.appendleft(shard)
        self._workers.append(self._start())
        self._next(run, self._workers[-1])


def _work(pipe: Connection, at: Any, limits: tuple[int, int], parent: int) -> None:
    """Body of a worker: shards from the pipe until it closes; answers None, or the exception to raise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the default ends the process, also inside a parser
    memory, seconds = limits
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    def tick(index: int, done: int) -> None:
        if os.getppid() != parent:  # the job was killed, and may be running again
            os._exit(1)
        at[:] = (index, done)
        signal.setitimer(signal.ITIMER_PROF, seconds if index >= 0 else 0)

    with suppress(EOFError, ConnectionError):
        while True:
            step, job, shard, skip = pipe.recv()
            try:
                step(job, shard, skip, tick)
                answer = None
            except MemoryError:
                os.abort()  # as the parser itself does
            except UserError as error:
                answer = error
            except Exception:  # any other error is raised in the parent, with the traceback of this process
                answer = RuntimeError(f"shard {shard}:\n{traceback.format_exc()}")
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send(answer)
