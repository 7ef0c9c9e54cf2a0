"""`aixmeg serve`: an OpenAI-compatible `/v1/completions` with `suffix`, so that editors can use a model.

One text is written at a time; requests wait in line, up to a limit. The server listens on the loopback address unless
told otherwise, and knows no passwords: whoever reaches the port can use the model.
"""

from __future__ import annotations

import codecs
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from aixmeg.errors import UserError

_LONGEST_BODY: Final = 16 << 20
_PATHS: Final = ("/v1/completions", "/v1/models")


class _Refused(Exception):
    """A request that gets an error instead of a completion."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Gone(Exception):
    """The client has closed the connection."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asked for, checked."""

    prompt: str
    suffix: str | None
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    stream: bool
    stream_usage: bool
    """Whether a last event of a stream holds the numbers of tokens."""


def parse(body: Any, *, max_new_tokens: int) -> Request:
    """Check the fields of a request; unknown ones are ignored, as OpenAI's server does.

    Raises:
        _Refused: the field and what is wrong with it.
    """
    if not isinstance(body, dict):
        raise _Refused(400, "the body must be a JSON object")
    if isinstance(body.get("prompt"), list) and len(body["prompt"]) == 1:
        body = body | {"prompt": body["prompt"][0]}

    def get(name: str, kinds: tuple[type, ...], default: Any, low: float = 0, high: float = 0) -> Any:
        value = body.get(name)
        if value is None:
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _Refused(400, f"{name}={value!r:.60} must be {' or '.join(kind.__name__ for kind in kinds)}")
        if high and not low <= value <= high:
            raise _Refused(400, f"{name}={value} must be from {low} to {high}")
        return value

    for name in ("n", "best_of"):
        if get(name, (int,), 1) != 1:
            raise _Refused(400, f"{name}={body[name]} is not supported; ask once per completion")
    usage = get("stream_options", (dict,), {}).get("include_usage") is True
    stop = get("stop", (str, list), [])
    stop = [stop] if isinstance(stop, str) else stop
    if not all(isinstance(word, str) and word for word in stop):
        raise _Refused(400, "stop must be a text or a list of texts, none of them empty")
    return Request(
        prompt=get("prompt", (str,), ""), suffix=get("suffix", (str,), None),
        max_tokens=get("max_tokens", (int,), min(16, max_new_tokens), 1, max_new_tokens),
        temperature=float(get("temperature", (int, float), 0.0, 0, 2)),
        top_p=float(get("top_p", (int, float), 1.0, 1e-9, 1)), seed=get("seed", (int,), 0),
        stop=tuple(stop), stream=get("stream", (bool,), False), stream_usage=usage,
    )  # fmt: skip


class Writer:
    """Turns token after token into text that is safe to send: whole characters, nothing that may become a stop word."""

    def __init__(self, decode: Callable[[list[int]], bytes], stop: tuple[str, ...]) -> None:
        self._decode, self._stop = decode, stop
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False
        """A stop word came."""

    def add(self, token: int) -> str:
        """What can be sent now."""
        self._held += self._bytes.decode(self._decode([token]))
        ends = [place for word in self._stop if (place := self._held.find(word)) >= 0]
        if ends:
            self.stopped = True
            return self._take(min(ends))
        keep = max((n for word in self._stop for n in range(1, len(word)) if self._held.endswith(word[:n])), default=0)
        return self._take(len(self._held) - keep)

    def rest(self) -> str:
        """What was held back for a stop word that did not come."""
        return "" if self.stopped else self._take(len(self._held))

    def _take(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        return text


class _Enough(Exception):
    """Ends a decoding from inside."""


class Service:
    """The model behind the server."""

    def __init__(self, native: Any, *, mode: Literal["psm", "spm"], max_new_tokens: int, waiting: int) -> None:
        from aixmeg.generate.command import stop_ids

        self.name, self.max_new_tokens = native.source, max_new_tokens
        self._mode: Literal["psm", "spm"] = mode
        self._native, self._stop = native, stop_ids(native)
        self._turn, self._places = threading.Lock(), threading.BoundedSemaphore(waiting)

    def complete(self, request: Request, send: Callable[[str], None]) -> dict[str, Any]:
        """Write one completion, piece by piece; returns why it ended and the numbers of tokens.

        Raises:
            _Refused: too many requests wait already, or the prompt cannot fit.
        """
        from aixmeg.generate.batch import generate
        from aixmeg.generate.sampling import Sampling

        if not self._places.acquire(blocking=False):
            raise _Refused(429, "too many requests wait already; try again later")
        try:
            prompt = self._prompt(request)
            writer = Writer(self._native.tokenizer.decode_bytes, request.stop)
            count = 0

            def on_token(_: int, token: int) -> None:
                nonlocal count
                count += 1
                if text := writer.add(token):
                    send(text)
                if writer.stopped:
                    raise _Enough

            sampling = Sampling(temperature=request.temperature, top_p=request.top_p)
            reason = "stop"
            try:
                with self._turn:
                    (made,) = generate(
                        self._native.model, [prompt], max_new_tokens=request.max_tokens, stop_ids=self._stop,
                        sampling=sampling, seeds=[request.seed], on_token=on_token,
                    )  # fmt: skip
                reason = "length" if made.stopped == "length" else "stop"
            except _Enough:
                pass
            if text := writer.rest():
                send(text)
        finally:
            self._places.release()
        usage = {"prompt_tokens": len(prompt), "completion_tokens": count, "total_tokens": len(prompt) + count}
        return {"finish_reason": reason, "usage": usage}

    def _prompt(self, request: Request) -> list[int]:
        """Infilling with a suffix, continuation without one. The client writes the header lines, if it wants them."""
        from aixmeg.generate.context import build_prompt
        from aixmeg.generate.source import Surroundings

        tokenizer, context = self._native.tokenizer, self._native.config.model.seq_length
        if request.suffix is None:
            ids = tokenizer.encode(request.prompt)
            return [tokenizer.bos, *ids[-(context - request.max_tokens - 1) :]]
        around = Surroundings(request.prompt, request.suffix, "")
        try:
            return build_prompt(
                tokenizer, around, mode=self._mode, context=context, max_new_tokens=request.max_tokens
            ).ids
        except UserError as error:
            raise _Refused(400, str(error)) from error


class Handler(BaseHTTPRequestHandler):
    """HTTP around the service."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    service: Service

    def do_GET(self) -> None:
        """The list of models, which clients ask for first, or the one that there is."""
        model = {"id": self.service.name, "object": "model", "created": 0, "owned_by": "aixmeg"}
        if self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [model]})
        elif self.path == f"/v1/models/{quote(self.service.name)}":
            self._json(200, model)
        else:
            self._error(404, f"{self.path} does not exist; there are {', '.join(_PATHS)}")

    def do_POST(self) -> None:
        """A completion."""
        try:
            request = parse(self._body(), max_new_tokens=self.service.max_new_tokens)
            (self._stream if request.stream else self._whole)(request)
        except _Refused as error:
            self._error(error.status, str(error))
        except (_Gone, ConnectionError):
            self.close_connection = True
        except Exception as error:
            print(f"aixmeg serve: {type(error).__name__}: {error}", file=sys.stderr)
            self._error(500, "the completion failed; the server's log says why")

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST_BODY:
            self.close_connection = True
            raise _Refused(413 if length.isdecimal() else 411, f"a body of at most {_LONGEST_BODY} bytes is needed")
        content = self.rfile.read(int(length))
        if self.path != "/v1/completions":
            raise _Refused(404, f"{self.path} does not exist; there are {', '.join(_PATHS)}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _Refused(400, f"the body is not JSON: {error}") from error

    def _whole(self, request: Request) -> None:
        parts: list[str] = []
        end = self.service.complete(request, parts.append)
        choice = {"index": 0, "text": "".join(parts), "logprobs": None, "finish_reason": end["finish_reason"]}
        self._json(200, {**self._frame(), "choices": [choice], "usage": end["usage"]})

    def _stream(self, request: Request) -> None:
        """Server-sent events; the head is sent with the first piece, so that a refusal still has a status."""
        frame, begun = self._frame(), False

        def event(content: str) -> None:
            nonlocal begun
            if not begun:
                begun = True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
            try:
                self.wfile.write(f"data: {content}\n\n".encode())
                self.wfile.flush()
            except OSError as error:
                raise _Gone from error

        def piece(text: str, reason: str | None) -> str:
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
            return json.dumps({**frame, "choices": [choice]}, ensure_ascii=False)

        end = self.service.complete(request, lambda text: event(piece(text, None)))
        event(piece("", end["finish_reason"]))
        if request.stream_usage:
            event(json.dumps({**frame, "choices": [], "usage": end["usage"]}))
        event("[DONE]")

    def _frame(self) -> dict[str, Any]:
        made = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
        return {**made, "model": self.service.name}

    def _error(self, status: int, message: str) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._json(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})

    def _json(self, status: int, value: Any) -> None:
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request: prompts are people's code."""


def make_server(service: Service, host: str, port: int) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving.

    Raises:
        UserError: the address cannot be used.
    """
    handler = type("Handler", (Handler,), {"service": service})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from error
    server.daemon_threads = True
    return server


def serve(
    model: Path, *, host: str = "127.0.0.1", port: int = 8000, mode: Literal["psm", "spm"] = "psm",
    max_new_tokens: int = 256, waiting: int = 16,
) -> None:  # fmt: skip
    """Serve until interrupted.

    Raises:
        UserError: no model in `model`, or the address cannot be used.
    """
    for name, value in (("max-new-tokens", max_new_tokens), ("waiting", waiting)):
        if value < 1:
            raise UserError(f"--{name} {value} must be at least 1")
    from aixmeg.convert.native import open_model

    with open_model(model) as native:
        service = Service(native, mode=mode, max_new_tokens=max_new_tokens, waiting=waiting)
        with make_server(service, host, port) as server:
            print(f"{native.source} on http://{host}:{server.server_port}/v1/completions", flush=True)
            server.serve_forever()
