"""A port of this host, and the secret that opens it: what MCP over HTTP and the live page have in common.

Owns    the socket, the web server's settings, and files of tokens
Takes   an ASGI application
Gives   nothing; it runs until a signal
Never   knows what is served
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lab.errors import BadInput

LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 32
MOST_CONNECTIONS = 512  # a reader holds one for hours
REQUEST_PATIENCE_S = 20.0  # who holds a connection and asks nothing takes it from a reader


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address of this host. Port 0 takes a free one.

    Raises:
        BadInput: there is no such address here, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BadInput(
            f"port {port} of {host} cannot be used.",
            why=error.strerror or str(error),
            do="choose another with --port, or --port 0 for any.",
        ) from error


class Connection(H11Protocol):
    """Uvicorn's own, which would wait for ever for the first request, or for one that began."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_a_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _wait_for_a_request(self) -> None:
        """From the first moment without a whole one, however many bytes of it come meanwhile."""
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            if self._late is None:
                self._late = self.loop.call_later(REQUEST_PATIENCE_S, self.transport.abort)
        elif self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """A server that ends without a word: streams are asked to end, and who takes nothing is hung up on."""

    def __init__(
        self, config: uvicorn.Config, *, closing_s: int, closing: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._closing_s = closing_s
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own, which waits for connections that nobody told to end, and cancels them loudly."""
        self._closing()
        late = asyncio.get_running_loop().call_later(self._closing_s, self._hang_up)
        await super().shutdown(sockets)
        late.cancel()

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    closing_s: int,
    closing: Callable[[], None] = lambda: None,
) -> None:
    """Answer until Ctrl-C or `kill`, then give those who are connected `closing_s` seconds.

    `closing` is called when that time begins, in the server's own loop: streams that never end are to end by it.
    """
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once all is closed
        make_server(app, closing_s=closing_s, closing=closing).run(sockets=[listener])


def make_server(
    app: ASGIApp, *, closing_s: int, closing: Callable[[], None] = lambda: None
) -> Server:
    """A server that names neither itself nor who asks it."""
    return Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            http=Connection,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=closing_s + 1,  # by then nobody is connected
        ),
        closing_s=closing_s,
        closing=closing,
    )


def read_token(folder: Path, name: str) -> str:
    """The token in the file `name` of this folder, made at the first call; only its user can read it.

    Raises:
        BadInput: others can read it, or it was cut short.
    """
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}.{os.getpid()}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_urlsafe(TOKEN_BYTES).encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    try:
        os.link(draft, path)  # the first of two that start at once wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    token = path.read_text().strip()
    if path.stat().st_mode & 0o077 or len(token) < TOKEN_BYTES:
        raise BadInput(
            f"the token in {path} is not safe to use.",
            why="other users can read it, or it is too short.",
            do="delete the file; the next start makes another.",
        )
    return token
