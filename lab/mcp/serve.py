"""The ways to reach the lab over MCP: stdio, HTTP on loopback behind a token, and a unix socket for a jail.

Owns    which request may come in
Takes   a Server
Gives   nothing; both run until the client or the user ends them
Never   listens on another address than loopback, and never shows the token
"""

from __future__ import annotations

import contextlib
import hmac
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.serving import LOOPBACK, listen, serve

HOST = LOOPBACK
PATH = "/mcp"
TOKEN_FILE = "mcp.token"  # noqa: S105, the name of a file
MOST_BODY_BYTES = 2 * 2**20  # a train.py takes at most six times that as JSON
SOCKET = "mcp.sock"
JAIL_HOST = "lab"  # what compose/agent/gate/nginx.conf calls us
CLOSING_S = 5.0
CLOSING_HTTP_S = 2  # a client that waits for a result does not hold up Ctrl-C


class TokenGate:
    """Lets a request through that carries the token, and answers 401 to any other before reading it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # and no other: a websocket is not answered at all
            given = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(given) != 1 or not hmac.compare_digest(given[0], self._wanted):
                refusal = PlainTextResponse(
                    "the token is missing or wrong", 401, {"WWW-Authenticate": "Bearer"}
                )
                await refusal(scope, receive, send)
            else:
                await self._app(scope, receive, send)


def serve_stdio(server: Server[dict[str, object]]) -> None:
    """Talk to the one client that started us, until it closes our input."""

    async def talk() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(talk)


def serve_http(
    server: Server[dict[str, object]], *, port: int, token: str, say: Callable[[str], None]
) -> None:
    """Listen on loopback until a signal. Port 0 takes a free one.

    Raises:
        BadInput: the port is in use.
    """
    with listen(HOST, port) as listener:
        bound = listener.getsockname()[1]
        app = make_app(server, port=bound, token=token)
        say(f"MCP at http://{HOST}:{bound}{PATH}")
        serve(app, listener, closing_s=CLOSING_HTTP_S)


@contextlib.contextmanager
def serving(
    server: Server[dict[str, object]], folder: Path, *, alive: Callable[[], bool]
) -> Iterator[None]:
    """Listen on the unix socket `folder`/mcp.sock, in a thread, until the block ends.

    Who can open the socket needs no token: the folder is the one thing that the gate of a jail is given of the host.
    GET /alive answers 204 while `alive` says so, else 403.
    """
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=MOST_BODY_BYTES,
        transport_security=TransportSecuritySettings(allowed_hosts=[JAIL_HOST], allowed_origins=[]),
    )

    async def answer(_: Request) -> Response:
        return Response(status_code=204 if alive() else 403)

    app.router.routes.append(Route("/alive", answer))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _bind(listener, folder)
        listener.listen()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=1
        )
        running = uvicorn.Server(config)
        thread = threading.Thread(
            target=running.run, kwargs={"sockets": [listener]}, name="mcp", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            running.should_exit = True
            thread.join(CLOSING_S)


def _bind(listener: socket.socket, folder: Path) -> None:
    """Bind to mcp.sock in a folder whose path may be longer than the 107 bytes that a socket's address holds."""
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{opened}/{SOCKET}")
    finally:
        os.close(opened)
    (folder / SOCKET).chmod(0o666)  # the folder above decides who comes here


def make_app(server: Server[dict[str, object]], *, port: int, token: str) -> ASGIApp:
    """The HTTP application. A browser sends an Origin, and no page has business here: any is refused."""
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=MOST_BODY_BYTES,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[]),
    )
    return TokenGate(app, token)
