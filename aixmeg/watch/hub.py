"""Rank 0's thread that hears all ranks, finds the first cause of a failure, says it once and tells the others."""

from __future__ import annotations

import secrets
import selectors
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from aixmeg.config import WatchConfig
from aixmeg.watch.failures import Failure, block, failure_folder, session_name, write_failure
from aixmeg.watch.inquest import Inquest
from aixmeg.watch.slow import Comparer, Comparison
from aixmeg.watch.wire import Link, Message, interval, listen

_TICK = 0.25
"""Seconds between two looks at what is known."""


class Hub:
    """Hears the ranks from `start` until `close`.

    Args:
        ranks: of the job; nothing listens for one.
        options: time limits.
        address: where the ranks meet.
        who: host, pid and gpu of rank 0, for the others to name it by.
        process: `process_key` of rank 0.
    """

    def __init__(
        self, *, ranks: int, options: WatchConfig, address: str, who: dict[str, Any], process: str | None
    ) -> None:
        self.session = session_name()
        self.run: Path | None = None
        """Run directory, once it is this training's."""
        self.silent = False
        """Whether rank 0's own error says it all."""
        self.ended = False
        """Set when the training has ended well."""
        self.comparisons: deque[Comparison] = deque(maxlen=16)
        """Windows of all ranks' own times, for the training thread to take."""
        self._comparer = Comparer(ranks, window=options.slow_window, share=options.slow_share)
        self._token, self._address, self._options = secrets.token_hex(16), address, options
        self._welcome = {"who": who, "process": process}
        self._server = listen(address, ranks) if ranks > 1 else None
        self._own, self._mine = socket.socketpair()
        self._links: list[Link] = []
        self._selector = selectors.DefaultSelector()
        self._inquest = Inquest(
            ranks, silence_timeout=options.silence_timeout, hang_timeout=options.hang_timeout, now=time.monotonic()
        )
        self._thread = threading.Thread(target=self._guarded, name="watch-hub", daemon=True)

    def start(self) -> socket.socket:
        """Begin to hear; returns rank 0's own connection."""
        if self._server is not None:
            self._server.setblocking(False)
            self._selector.register(self._server, selectors.EVENT_READ)
        self._add(self._own)
        self._thread.start()
        return self._mine

    def invitation(self) -> Message:
        """What the other ranks need to join."""
        port = 0 if self._server is None else self._server.getsockname()[1]
        return {"address": self._address, "port": port, "token": self._token, "session": self.session}

    def join(self) -> None:
        """Wait until the others were told that all is well; `ended` is set and rank 0's own member has left."""
        self._thread.join(5.0)

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:  # a fault of the watch must not end a training
            print(f"aixmeg watch: the ranks are no longer watched: {error!r}", file=sys.stderr, flush=True)
            self._tell({"end": True})

    def _run(self) -> None:
        looked = told = time.monotonic()
        pause = interval(self._options)
        while not self.ended:
            for key, _ in self._selector.select(min(_TICK, pause)):
                self._accept() if key.data is None else self._read(key.data)
            now = time.monotonic()
            if now - looked < min(_TICK, pause):
                continue
            if now - looked > 2 * _TICK + pause:  # this process stood still itself: the others' words are on their way
                self._inquest.excuse(now - looked)
            looked = now
            if self._inquest.hanging(now):
                self._inquest.asked = now
                self._tell({"dump": True})
            failure = self._inquest.verdict(now)
            if failure is not None:
                self._pronounce(failure)
                return
            if now - told >= pause:
                told = now
                self._tell({"alive": True})
        self._tell({"end": True})

    def _accept(self) -> None:
        assert self._server is not None
        try:
            connection, _ = self._server.accept()
        except OSError:
            return
        self._add(connection)

    def _add(self, connection: socket.socket) -> None:
        link = Link(connection)
        self._links.append(link)
        self._selector.register(connection, selectors.EVENT_READ, link)

    def _read(self, link: Link) -> None:
        messages, ended = link.receive()
        now = time.monotonic()
        for message in messages:
            if link.rank is None:
                if not secrets.compare_digest(str(message.get("token")).encode(), self._token.encode()):
                    ended = True  # a stranger
                    break
                link.rank = int(message["rank"])
                link.send(self._welcome)
            self._inquest.heard(link.rank, message, now)
            if "window" in message and (found := self._comparer.add(link.rank, message["window"])):
                self.comparisons.append(found)
        if ended:
            self._selector.unregister(link.socket)
            self._links.remove(link)
            link.close()
            if link.rank is not None:
                self._inquest.closed(link.rank, now)
                self._tell({"where": True})

    def _pronounce(self, failure: Failure) -> None:
        folder = None if self.run is None else failure_folder(self.run, self.session)
        if (folder is None or write_failure(folder, failure)) and not self.silent:
            print(block(failure, folder), file=sys.stderr, flush=True)
        self._tell({"verdict": vars(failure), "stuck": self._inquest.stuck(failure)})

    def _tell(self, message: Message) -> None:
        """To all ranks, to rank 0 last: it may end this process."""
        for link in reversed(self._links):
            if link.rank is not None:
                link.send(message)
