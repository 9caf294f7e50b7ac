"""The two ways to reach `lab mcp`: stdio, and HTTP on loopback behind a token.

Owns    the token, and which request may come in
Takes   a Server
Gives   nothing; both run until the client or the user ends them
Never   listens on another address than loopback, and never shows the token
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.errors import BadInput

HOST = "127.0.0.1"
PATH = "/mcp"
TOKEN_FILE = "mcp.token"  # noqa: S105, the name of a file
MOST_BODY_BYTES = 2 * 2**20  # a train.py takes at most six times that as JSON
TOKEN_BYTES = 32


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
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise BadInput(
            f"port {port} of {HOST} cannot be used.",
            why=error.strerror or str(error),
            do="choose another with --port, or --port 0 for any.",
        ) from error
    with listener:
        bound = listener.getsockname()[1]
        app = make_app(server, port=bound, token=token)
        say(f"MCP at http://{HOST}:{bound}{PATH}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,  # a client that waits for a result does not hold up Ctrl-C
        )
        uvicorn.Server(config).run(sockets=[listener])


def make_app(server: Server[dict[str, object]], *, port: int, token: str) -> ASGIApp:
    """The HTTP application. A browser sends an Origin, and no page has business here: any is refused."""
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=MOST_BODY_BYTES,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[]),
    )
    return TokenGate(app, token)


def read_token(folder: Path) -> str:
    """The token of this checkout, made at the first call, in a file that only its user can read.

    Raises:
        BadInput: others can read it, or it was cut short.
    """
    path = folder / TOKEN_FILE
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{TOKEN_FILE}.{os.getpid()}"
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
