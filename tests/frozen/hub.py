"""A hub on the loopback interface: resolve, redirect, ETag, commit and ranges, as the real one answers."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

COMMIT = "c0ffee" + "0" * 34
_RESOLVE = re.compile(r"/datasets/[\w-]+/[\w-]+/resolve/([\w-]+)/([\w.]+)")


class Hub:
    """Serves files by name.

    `cut_after` says after how many bytes the next download of a file stops: the connection then stays open
    and silent until `released`, and breaks.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cut_after: dict[str, int] = {}
        self.released = threading.Event()
        self.revisions: set[str] = set()
        self.served: list[tuple[str, int]] = []  # name, and the first byte asked for

    def __enter__(self) -> Self:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        # Content lies on another origin, as the real hub's does: the client tells the two apart by that.
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def content_url(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if match := _RESOLVE.fullmatch(self.path):
            self._resolve(*match.groups())
        elif self.path.startswith("/cdn/"):
            self._content(self.path.removeprefix("/cdn/"))
        else:
            self._finish(404, {})

    def _resolve(self, revision: str, name: str) -> None:
        """The hub itself: what the file is, and where its content lies."""
        self.hub.revisions.add(revision)
        if name not in self.hub.files:
            self._finish(404, {"X-Error-Code": "EntryNotFound"})
            return
        data = self.hub.files[name]
        self._finish(
            302,
            {
                "Location": f"{self.hub.content_url}/cdn/{name}",
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
            },
        )

    def _content(self, name: str) -> None:
        """Where the content lies: bytes, from the first one asked for."""
        data = self.hub.files[name]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        headers = {"ETag": '"content"', "Accept-Ranges": "bytes"}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        body = data[first:]
        if self.command == "GET":
            self.hub.served.append((name, first))
        cut = self.hub.cut_after.pop(name, None) if self.command == "GET" else None
        self._finish(206 if asked else 200, headers, body, cut)

    def _finish(
        self, status: int, headers: dict[str, str], body: bytes = b"", cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.hub.released.wait(60)
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet: tests read stderr."""
