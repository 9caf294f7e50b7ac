"""The page's server on a free port of loopback, for tests that ask it as a browser would."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.dashboard.gate import LOOPBACK_NAMES, Door
from lab.dashboard.pages import make_app
from lab.serving import LOOPBACK, listen, make_server
from lab.settings import CHECKOUT

PATIENCE_S = 20.0
SENT = {"X-Nightlab": "1", "Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        words = self.json["error"]
        assert "Traceback" not in words and "/tmp" not in words and 'File "' not in words
        return str(words)


@dataclass(frozen=True, slots=True)
class Site:
    """A server, and the lab that it shows."""

    port: int
    runs: Path

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request, sent as it is given: no client tidies its path up."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Any:
        """The JSON at a path that is there."""
        answer = self.ask(path, headers=headers)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, value: object, headers: dict[str, str] | None = None) -> Answer:
        body = json.dumps(value).encode()
        return self.ask(path, method="POST", body=body, headers={**SENT, **(headers or {})})

    @contextlib.contextmanager
    def events(self, path: str, **headers: str) -> Iterator[Events]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            assert response.getheader("content-type", "").startswith("text/event-stream")
            yield Events(response)
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    mark: str
    data: Any


class Events:
    """A stream of server-sent events, read one by one."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def next(self, name: str | None = None) -> Event:
        """The next event, or the next of that name; those of other names are passed over."""
        while True:
            event = self._read()
            if name in (None, event.name):
                return event

    def read_to_the_end(self) -> None:
        """What is left of a stream that ends.

        Raises:
            http.client.IncompleteRead: it was cut off.
        """
        self._response.read()

    def _read(self) -> Event:
        fields: dict[str, str] = {}
        while True:
            line = self._response.readline().decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if not line and "data" in fields:
                return Event(
                    fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
                )
            assert line or not fields, "the stream ended in an event"
            name, _, value = line.partition(": ")
            fields[name] = value


@contextlib.contextmanager
def served(
    runs: Path, *, door: Door | None = None, actions: bool = True, port: int = 0
) -> Iterator[Site]:
    """A server while the block runs; it and all its threads are gone afterwards."""
    live = make_app(
        runs,
        CHECKOUT / "program.md",
        door or Door(names=LOOPBACK_NAMES),
        actions_too=actions,
    )
    with listen(LOOPBACK, port) as listener:
        server = make_server(live.app, closing_s=1, closing=live.end_streams)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Site(listener.getsockname()[1], runs)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the server did not end"


def wait_until(true: Any, *, seconds: float = PATIENCE_S) -> None:
    """Until `true()` is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
