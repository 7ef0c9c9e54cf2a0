"""What ranks say to rank 0 and back: JSON objects, one a line, over TCP."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from typing import Any

from aixmeg.config import WatchConfig

Message = dict[str, Any]

_LONGEST = 1_000_000
"""Bytes of a line; more comes from no rank."""


class Link:
    """One end of a connection. Nothing here waits: who does not read loses messages."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.rank: int | None = None
        """Whose it is, once that is known."""
        self._rest = b""

    def receive(self) -> tuple[list[Message], bool]:
        """The messages that have come, and whether the other end is gone."""
        ended = False
        try:
            while chunk := self.socket.recv(65_536):
                self._rest += chunk
            ended = True
        except BlockingIOError:
            pass
        except OSError:
            ended = True
        *lines, self._rest = self._rest.split(b"\n")
        messages = []
        for line in lines:
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    messages.append(message)
        return messages, ended or len(self._rest) > _LONGEST

    def send(self, message: Message) -> None:
        """To the other end, if it still reads."""
        with contextlib.suppress(OSError):
            self.socket.send(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """Let go of the connection."""
        self.socket.close()


def listen(address: str, ranks: int) -> socket.socket:
    """A listening socket on a free port: on loopback when the ranks meet there, else on every interface, since a node's
    own name may lead to loopback on the node itself. Raises the limit of open files by what so many ranks need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = soft + ranks if hard == resource.RLIM_INFINITY else min(soft + ranks, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if address in ("127.0.0.1", "localhost"):
        return socket.create_server(("127.0.0.1", 0), backlog=1024)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=1024)


def interval(options: WatchConfig) -> float:
    """Seconds between two signs of life."""
    limits = [limit for limit in (options.silence_timeout, options.hang_timeout) if limit]
    return min(max(min(limits, default=30.0) / 6, 0.05), 5.0)
