"""A hub on the loopback interface, as far as pinning and downloading ask it: info, tree, paths, resolve."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "5eed" + "0" * 36
Files = dict[str, bytes]


class KernelHub:
    """Repositories by kind and name ("kernels/owner/name"), each a dict of files."""

    def __init__(self, repositories: dict[str, Files]) -> None:
        self.repositories = repositories
        self.downloads: list[str] = []

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    hub: KernelHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        for name, files in self.hub.repositories.items():
            if path in {f"/api/{name}", f"/api/{name}/revision/{COMMIT}"}:
                return self._json({"id": name.partition("/")[2], "sha": COMMIT, "siblings": []})
            if match := re.fullmatch(f"/api/{re.escape(name)}/tree/([^/]+)/?(.*)", path):
                return self._json(self._tree(files, match[2]))
            if path == f"/api/{name}/paths-info/{COMMIT}":
                wanted = parse_qs(body.decode())["paths"]
                return self._json([_entry(file, files[file]) for file in wanted if file in files])
            prefix = f"/{name.removeprefix('models/')}/resolve/{COMMIT}/"
            if path.startswith(prefix) and path.removeprefix(prefix) in files:
                return self._file(path.removeprefix(prefix), files)
        return self._finish(404, {"X-Error-Code": "RepoNotFound"}, b"")

    def _tree(self, files: Files, folder: str) -> list[dict[str, object]]:
        below = {name: data for name, data in files.items() if name.startswith(folder)}
        if "recursive=true" in self.path.lower():
            return [_entry(name, data) for name, data in below.items()]
        children = {name.removeprefix(f"{folder}/").partition("/")[0] for name in below}
        return [
            {"type": "directory", "path": f"{folder}/{child}", "oid": "0" * 40}
            for child in sorted(children)
        ]

    def _file(self, name: str, files: Files) -> None:
        data = files[name]
        if self.command == "GET":
            self.hub.downloads.append(name)
        digest = hashlib.sha256(data).hexdigest()
        self._finish(200, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, data)

    def _json(self, content: object) -> None:
        data = json.dumps(content).encode()
        self._finish(200, {"Content-Type": "application/json"}, data)

    def _finish(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _entry(name: str, data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    lfs = {"oid": digest, "size": len(data), "pointerSize": 134}
    return {"type": "file", "path": name, "size": len(data), "oid": "0" * 40, "lfs": lfs}
