"""A rank's side: a thread that says where the training stands, and that ends this process when another rank failed."""

from __future__ import annotations

import faulthandler
import os
import select
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from aixmeg.config import WatchConfig
from aixmeg.errors import UserError
from aixmeg.watch.failures import LEFT, Failure, block, failure_folder, from_fields, write_failure
from aixmeg.watch.hub import Hub
from aixmeg.watch.secondary import report_of
from aixmeg.watch.slow import Comparison, OwnTimes
from aixmeg.watch.stacks import main_place, own_process, put_down, write_stacks, write_text
from aixmeg.watch.wire import Link, Message, interval

_LEAVE = 10.0
"""Seconds that a rank has for its own error, from the verdict to the end of the process."""
_LAST = 0.3
"""Seconds that rank 0 waits so that all others hear the verdict."""


class Watch:
    """One rank's membership. `at` is the training thread's; the rest happens in a thread of its own.

    Args:
        rank: of this process.
        ranks: of the job.
        options: time limits.
        who: host, pid, gpu of this process.
        invitation: of rank 0's hub.
        hub: rank 0's own, None elsewhere.

    Raises:
        OSError: rank 0's hub cannot be reached.
    """

    def __init__(
        self, *, rank: int, ranks: int, options: WatchConfig, who: dict[str, Any], invitation: Message, hub: Hub | None
    ) -> None:
        self.rank, self._ranks, self._hub, self._who = rank, ranks, hub, who
        self._session: str = invitation["session"]
        self._run: Path | None = None
        self._stopped = 0.0
        """Seconds that this process as a whole stood still, by Ctrl-Z for instance: no hang."""
        self._place: tuple[int, str, float] = (0, "start", time.monotonic())
        self._silence, self._pause = options.silence_timeout, interval(options)
        self._window: int = options.slow_window
        self._own: OwnTimes | None = None
        self._told = threading.Event()
        self._failure: Failure | None = None
        self._lock, self._failing, self._leaving, self._ended = threading.Lock(), False, False, False
        self._first: dict[str, Any] = {}
        connection = hub.start() if hub else socket.create_connection((invitation["address"], invitation["port"]), 60)
        self._link = Link(connection)
        process = own_process(who["host"])
        self._link.send({"token": invitation["token"], "rank": rank, "who": who, "process": process})
        self._thread = threading.Thread(target=self._guarded, name="watch", daemon=True)
        self._thread.start()

    def at(self, step: int, phase: str) -> None:
        """The training enters a part of `step`: data, forward_backward, evaluation, checkpoint or end."""
        self._place = (step, phase, time.monotonic() - self._stopped)

    def took(self, step: int, *, data: float, compute: float) -> None:
        """The training has done `step`, of which so many seconds were this rank's own."""
        if self._own is not None and (window := self._own.add(step, data, compute)):
            self._link.send({"window": window})

    def compared(self) -> Comparison | None:
        """The next comparison of all ranks' own times that nobody has taken; on rank 0, and None elsewhere."""
        return self._hub.comparisons.popleft() if self._hub is not None and self._hub.comparisons else None

    def stage(self, number: int) -> None:
        """This rank's pipeline stage: ranks of one stage are compared."""
        self._own = OwnTimes(self._window, number) if self._window and self._ranks > 1 else None

    def keep(self, run: Path) -> None:
        """`run` is this training's from now on, and keeps what takes it down."""
        self._run = run
        if self._hub is not None:
            self._hub.run = run

    def failed(self, error: BaseException) -> None:
        """The training has failed here. Returns where this rank should say so itself; leaves the process, silently,
        where another rank was first."""
        with self._lock:
            self._failing = True
        if self._leaving:
            time.sleep(_LEAVE)  # the thread is ending this process
        text = "".join(traceback.format_exception(error))
        self._keep_text(text)
        explained = isinstance(error, UserError)
        if self._hub is not None and explained:
            self._hub.silent = True
        self._link.send({"error": report_of(error), **self._state()})
        self._told.wait(self._silence + _LEAVE)
        if self._ranks > 1:  # the interpreter's own end may wait for threads and connections of ranks that are gone
            faulthandler.dump_traceback_later(_LEAVE, exit=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
        mine = self._failure is None or self._failure.rank == self.rank
        if (mine and not (explained and self.rank and self._failure)) or (self.rank == 0 and explained):
            return
        self._leave(2 if explained else LEFT)

    def close(self) -> None:
        """The training has ended well, on every rank."""
        self.at(self._place[0], "end")
        self._ended = True
        if self._hub is not None:
            self._hub.ended = True
        self._link.send({"done": True})
        if self._hub is not None:
            self._hub.join()
        self._thread.join(5.0)

    def _guarded(self) -> None:
        try:
            self._listen()
        except Exception as error:  # a fault of the watch must not end a training
            print(f"aixmeg watch: rank {self.rank} is no longer watched: {error!r}", file=sys.stderr, flush=True)
            self._link.send({"done": True})

    def _listen(self) -> None:
        heard = told = looked = time.monotonic()
        while True:
            ready, _, _ = select.select([self._link.socket], [], [], self._pause)
            messages, gone = self._link.receive() if ready else ([], False)
            now = time.monotonic()
            if messages:
                heard = now
            if now - looked > 3 * self._pause:  # this process stood still itself
                heard = now
                self._stopped += now - looked - self._pause
            looked = now
            for message in messages:
                if self._take(message):
                    return
            if self._ended or gone:
                break
            if self._silence and now - heard > self._silence:
                break
            if now - told >= 0.9 * self._pause:
                told = now
                self._link.send(self._state())
        if not self._ended:
            self._zero_is_gone(silent=not gone)

    def _take(self, message: Message) -> bool:
        """Act on what rank 0 says; whether it was the last word."""
        if "who" in message:
            self._first = message
        if "where" in message:
            self._link.send(self._state())
        if "dump" in message:
            place = main_place()
            self._keep_stacks("the job hangs")
            self._link.send({"answer": place, **self._state()})
        if "verdict" in message:
            self._end(from_fields(message["verdict"]), message["stuck"])
            return True
        return "end" in message

    def _zero_is_gone(self, *, silent: bool) -> None:
        """There is nobody left who would name the first cause, and it is rank 0."""
        cause = (
            f"no sign of life for {self._silence:.0f} s; its node is gone, or its process is stopped"
            if silent
            else "without a word; killed (SIGKILL, out of memory) or left by itself"
        )
        step, _, _ = self._place
        failure = Failure(
            kind="lost" if silent else "died", rank=0, ranks=self._ranks, step=step,
            phase="step" if step else "start", cause=cause,
            time=round(time.time(), 3), stood=self._silence if silent else 0.0, **self._first.get("who", {}),
        )  # fmt: skip
        time.sleep(min(0.05 * (self.rank - 1), 1.0))
        folder = self._folder()
        if write_failure(folder, failure) if folder else self.rank == 1:
            print(block(failure, folder), file=sys.stderr, flush=True)
        process = self._first.get("process")
        self._end(failure, [process] if silent and process else [])

    def _end(self, failure: Failure, stuck: list[str]) -> None:
        """Another rank, or this one, is the first cause: end this process, unless its training thread is about to."""
        for process in stuck:
            put_down(process)
        with self._lock:
            self._failure = failure
            self._leaving = not self._failing
        self._told.set()
        if not self._leaving:
            return
        self._keep_stacks(failure.line())
        self._leave(LEFT)

    def _leave(self, status: int) -> None:
        time.sleep(_LAST if self._hub is not None else 0.0)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(status)

    def _state(self) -> Message:
        step, phase, since = self._place
        return {"step": step, "phase": phase, "age": round(time.monotonic() - self._stopped - since, 3)}

    def _folder(self) -> Path | None:
        return None if self._run is None else failure_folder(self._run, self._session)

    def _keep_stacks(self, heading: str) -> None:
        if (folder := self._folder()) is not None:
            step, phase, _ = self._place
            write_stacks(folder / f"rank-{self.rank}.txt", f"{heading}\nrank {self.rank}: step {step}, {phase}")

    def _keep_text(self, text: str) -> None:
        if (folder := self._folder()) is not None:
            write_text(folder / f"rank-{self.rank}.txt", text)
