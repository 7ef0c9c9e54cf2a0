"""`aixmeg serve` over real connections: whole and streamed answers, stop words, refusals, clients that go away."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aixmeg.convert.native import Native, open_hf
from aixmeg.convert.to_hf import convert
from aixmeg.errors import UserError
from aixmeg.generate.command import infill
from aixmeg.generate.serve import Service, Writer, make_server, serve
from aixmeg.generate.source import Surroundings

sys.path.insert(0, str(Path(__file__).parents[1] / "convert"))
from tiny_run import MODELS, make_run


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Iterator[Native]:
    place = tmp_path_factory.mktemp("serve")
    convert(make_run(place / "run", MODELS["grouped"], tiny_tokenizer), place / "hf")
    with open_hf(place / "hf") as opened:
        yield opened


@pytest.fixture(scope="module")
def service(native: Native) -> Service:
    return Service(native, mode="psm", max_new_tokens=32, waiting=2)


@pytest.fixture(scope="module")
def port(service: Service) -> Iterator[int]:
    with make_server(service, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, body: object, path: str = "/v1/completions") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


GAP = {"prompt": "def f(x):\n    return ", "suffix": "\n\nprint(f(1))\n", "max_tokens": 16, "model": "any"}


def test_a_gap_is_filled_as_by_the_command(port: int, native: Native) -> None:
    status, text = ask(port, GAP)
    answer = json.loads(text)
    expected = infill(native, Surroundings(GAP["prompt"], GAP["suffix"], ""), max_new_tokens=16)
    assert status == 200
    assert answer["choices"][0]["text"].rstrip("\ufffd") == expected.text.rstrip("\ufffd")
    assert answer["choices"][0]["finish_reason"] == ("length" if expected.stopped == "length" else "stop")
    assert answer["usage"]["completion_tokens"] == len(expected.tokens)
    assert answer["usage"]["prompt_tokens"] == expected.prompt_tokens


def test_streamed_is_the_same_text(port: int) -> None:
    for more in ({}, {"temperature": 1.0, "seed": 5}, {"suffix": None}):
        whole = json.loads(ask(port, GAP | more)[1])["choices"][0]
        status, text = ask(port, GAP | more | {"stream": True})
        events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        assert status == 200
        assert events[-1] == "[DONE]"
        choices = [json.loads(event)["choices"][0] for event in events[:-1]]
        assert "".join(choice["text"] for choice in choices) == whole["text"]
        assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + [whole["finish_reason"]]
        assert len(choices) > 4


def test_a_stop_word_ends_the_text(port: int) -> None:
    whole = json.loads(ask(port, GAP)[1])["choices"][0]["text"]
    word = whole[5:7]
    choice = json.loads(ask(port, GAP | {"stop": [word]})[1])["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(word)], "stop")


def test_held_back_text() -> None:
    pieces = [b"ab", b"\n", b"\xc3", b"\xa9d", b"e", b"\n", b"\n", b"z"]
    writer = Writer(lambda ids: pieces[ids[0]], ("\n\n",))
    assert [writer.add(i) for i in range(7)] == ["ab", "", "", "\néd", "e", "", ""]
    assert (writer.stopped, writer.rest()) == (True, "")
    writer = Writer(lambda ids: pieces[ids[0]], ("\n\n",))
    assert [writer.add(1), writer.rest()] == ["", "\n"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "not JSON"),
        ([], 400, "JSON object"),
        (GAP | {"prompt": 3}, 400, "prompt=3 must be str"),
        (GAP | {"max_tokens": 1000}, 400, "max_tokens=1000 must be from 1 to 32"),
        (GAP | {"max_tokens": True}, 400, "max_tokens=True must be int"),
        (GAP | {"temperature": -1}, 400, "temperature=-1 must be from 0 to 2"),
        (GAP | {"n": 2}, 400, "n=2 is not supported"),
        (GAP | {"stop": [""]}, 400, "stop must be"),
    ],
)
def test_bad_requests_are_told_why(body: object, status: int, message: str, port: int) -> None:
    found, text = ask(port, body)
    assert found == status
    assert message in json.loads(text)["error"]["message"]


def test_other_paths_and_lengths(port: int) -> None:
    assert ask(port, GAP, "/v1/chat/completions")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", "/v1/models")
    assert json.loads(connection.getresponse().read())["data"][0]["object"] == "model"
    connection.putrequest("POST", "/v1/completions")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_too_many_requests_and_clients_that_leave(port: int, service: Service) -> None:
    with service._turn:  # nothing is written meanwhile
        waiting = []
        for _ in range(2):
            client = socket.create_connection(("127.0.0.1", port))
            body = json.dumps(GAP | {"stream": True}).encode()
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            waiting.append(client)
        while service._places._value:  # until both wait
            time.sleep(0.02)
        assert ask(port, GAP)[0] == 429
        for client in waiting:
            client.close()
    for _ in range(1000):
        status, _ = ask(port, GAP)
        if status == 200:
            break
    assert status == 200  # those that left hold no place


def test_an_address_in_use(port: int, service: Service, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{port}"):
        make_server(service, "127.0.0.1", port)
    with pytest.raises(UserError, match="--waiting 0"):
        serve(tmp_path, waiting=0)
