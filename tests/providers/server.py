"""A model provider on the loopback: real HTTP, real event streams, scripted answers.

    with ModelServer("anthropic").script([Answer(text="hello")]) as server:
        provider = AnthropicProvider(model="m", key="k", base_url=server.base_url)

The script is a list of steps, one a request, or a function from the request to its step, for as long as a
night asks. What a real server would not take is answered with its status 400, so that a wrong conversation fails here.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.providers import anthropic_wire, chat_wire, openai_wire
from tests.providers.steps import NEW, READ, WRITTEN, Answer, Fail, Kind, Step

WIRES: dict[Kind, Any] = {
    "anthropic": anthropic_wire,
    "openai": openai_wire,
    "compatible": chat_wire,
}
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/responses",
    "compatible": "/v1/chat/completions",
}
COUNTERS = {"/v1/messages/count_tokens", "/v1/responses/input_tokens"}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One request that came."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]


class ModelServer:
    """One provider's server. Open it with `with`; its address is `base_url`, as that SDK wants it."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.requests: list[Recorded] = []  # for answers
        self.counted: list[Recorded] = []  # for counts of tokens
        self.said: list[Any] = []  # the messages given, each as it must come back
        self.counts_tokens = True
        self._step: Callable[[Recorded], Step] = lambda _: Fail(why="server_error")
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.model_server = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        address = f"http://127.0.0.1:{self._http.server_address[1]}"
        return address if self.kind == "anthropic" else f"{address}/v1"

    def script(self, steps: Sequence[Step] | Callable[[Recorded], Step]) -> Self:
        """What to do, from the next request on."""
        if callable(steps):
            self._step = steps
            return self
        left = iter(steps)

        def following(_: Recorded) -> Step:
            return next(left, Fail(why="server_error"))

        self._step = following
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, recorded: Recorded) -> tuple[Step, int] | str:
        """The step for a request and its number, or why the request is wrong."""
        with self._lock:
            self.requests.append(recorded)
            wrong = WIRES[self.kind].wrong(recorded.body)
            if wrong is not None:
                return str(wrong)
            step = self._step(recorded)
            number = len(self.requests)
            if isinstance(step, Answer):
                if step.new is None:  # four bytes a token, as the tokenizers of today have it
                    new = len(json.dumps(recorded.body)) // 4 - READ - WRITTEN
                    step = replace(step, new=max(NEW, new))
                if self.kind == "anthropic":
                    step = replace(step, signature=anthropic_wire.sign(recorded.body["messages"]))
                    said = anthropic_wire.message(step, number, _object)
                else:
                    said = WIRES[self.kind].message(step, number)
                self.said.append(said)
            return step, number


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    model_server: ModelServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        model_server = self.server.model_server
        raw = self.rfile.read(int(self.headers["content-length"]))
        recorded = Recorded(
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=json.loads(raw),
        )
        if self.path in COUNTERS and model_server.counts_tokens:
            model_server.counted.append(recorded)
            self._send(200, {"input_tokens": 1234, "object": "response.input_tokens"})
            return
        if self.path != PATHS[model_server.kind]:
            self._send(404, {"error": {"message": f"no such place: {self.path}"}})
            return
        taken = model_server.take(recorded)
        if isinstance(taken, str):
            self._send(400, {"error": {"type": "invalid_request_error", "message": taken}})
            return
        step, number = taken
        if isinstance(step, Fail):
            status, body = WIRES[model_server.kind].FAILURES[step.why]
            self._send(status, self._with_key(body), step.headers)
            return
        self._stream(step, number, recorded.body["model"])

    def _with_key(self, body: Any) -> Any:
        """A careless server quotes the key in its answer."""
        sent = self.headers.get("x-api-key") or self.headers.get("authorization") or ""
        return json.loads(json.dumps(body).replace("KEY", sent.removeprefix("Bearer ")))

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, answer: Answer, number: int, model: str) -> None:
        wire = WIRES[self.server.model_server.kind]
        events = wire.events(answer, number, model)
        if answer.breaks:
            events = events[: len(events) // 2]
            if answer.breaks not in ("drop", "end"):
                events.append(wire.broken(answer.breaks))
        time.sleep(answer.silent_s)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        until = time.monotonic() + answer.pings_s
        while time.monotonic() < until:
            self._chunk(b": alive\n\n" + b'event: ping\ndata: {"type": "ping"}\n\n' * wire.PINGS)
            time.sleep(0.02)
        for name, data in events:
            line = f"event: {name}\n" if name else ""
            text = data if isinstance(data, str) else json.dumps(data)
            self._chunk(f"{line}data: {text}\n\n".encode())
        if answer.breaks == "drop":
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet: a test says what matters."""


def _object(written: str) -> dict[str, Any] | None:
    try:
        read = json.loads(written or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None
