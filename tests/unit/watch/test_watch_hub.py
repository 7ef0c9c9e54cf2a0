"""Rank 0's hub over real sockets: strangers, faults of its own, and a port for nobody but other ranks."""

import json
import socket
import time

import pytest

from aixmeg.config import WatchConfig
from aixmeg.watch.hub import Hub
from aixmeg.watch.member import Watch

WHO = {"host": "node", "pid": 1, "gpu": None}
QUICK = WatchConfig(silence_timeout=1.0, hang_timeout=0.0)


def join(rank, ranks, hub, invitation):
    return Watch(rank=rank, ranks=ranks, options=QUICK, who=WHO, invitation=invitation, hub=hub)


@pytest.fixture
def pair(monkeypatch):
    """Two ranks in this process, which they do not end."""
    left = []
    monkeypatch.setattr(Watch, "_leave", lambda watch, status: left.append((watch.rank, status)))
    hub = Hub(ranks=2, options=QUICK, address="127.0.0.1", who=WHO, process=None)
    watches = [join(0, 2, hub, hub.invitation()), join(1, 2, None, hub.invitation())]
    yield hub, watches
    for watch in reversed(watches):
        watch.close()
    assert left == []


def test_it_listens_on_loopback_where_the_ranks_meet_there(pair):
    hub, _ = pair
    assert hub._server.getsockname()[0] == "127.0.0.1"
    assert Hub(ranks=1, options=QUICK, address="127.0.0.1", who=WHO, process=None)._server is None


@pytest.mark.parametrize("words", [b"", b"hello\n", json.dumps({"token": "x", "rank": 1, "done": 1}).encode() + b"\n"])
def test_a_stranger_is_not_heard(pair, words):
    hub, watches = pair
    address = hub.invitation()
    with socket.create_connection((address["address"], address["port"])) as stranger:
        stranger.sendall(words)
        time.sleep(0.4)
    time.sleep(1.2)  # longer than ranks may be silent
    assert not any(seen.done or seen.gone for seen in hub._inquest.seen)
    watches[1].at(7, "data")
    time.sleep(0.5)
    assert (hub._inquest.seen[1].step, hub._inquest.seen[1].phase) == (7, "data")


def test_a_fault_of_the_watch_ends_the_watch_alone(pair, monkeypatch, capfd):
    hub, watches = pair
    monkeypatch.setattr(hub._inquest, "verdict", lambda now: 1 / 0)
    time.sleep(2.0)  # longer than rank 0 may be silent
    assert "no longer watched: ZeroDivisionError" in capfd.readouterr().err
    assert not any(watch._thread.is_alive() for watch in watches)


def test_ends_well_at_once(pair):
    _, watches = pair
    begun = time.monotonic()
    for watch in watches:
        watch.close()
    assert time.monotonic() - begun < 3.0
