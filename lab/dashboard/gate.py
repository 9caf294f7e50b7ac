"""Who may ask the page's server, and for what: every request comes through here first.

Owns    the names that the page answers to, the token and its cookie, what may change something, and the
        headers that every answer has
Takes   a Door, fixed when the server starts
Never   reads a body, and never says more to a stranger than that he is one

On loopback everybody on this machine may read and press buttons, as he may read the files. What is guarded against
there is a web page of somebody else's in a browser here: it can send requests to a loopback port, so a name
that it rebinds to our address is not answered, and what changes something needs a header that no page can
send to another origin without asking, which we never allow.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.dashboard.wire import refuse

COOKIE_S = 30 * 24 * 3600
SAFE = ("GET", "HEAD")
MOST_BODY_BYTES = 512 * 1024  # a train.py of 64 KiB takes at most six times that as JSON
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

# Of whatever is not the page itself; the page brings its own policy.
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
}

STRANGER = (
    "this page needs its token: open the address with ?token= that `lab dashboard` printed. "
    "If you have done that in this browser before, the link below is enough."
)
WRONG_TOKEN = "the token is wrong: `lab dashboard` printed the address that has the right one."  # noqa: S105, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the page is served, and to whom."""

    names: frozenset[str]  # of hosts, without a port; lower case
    any_address: bool = False  # it listens on all of them, so every IP address may be ours
    token: str | None = None  # None: everybody who reaches it
    cookie: str = "nightlab"


class Gate:
    """Lets a request through, or answers it."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":

            async def send_with_headers(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    for name, value in HEADERS.items():
                        headers.setdefault(name, value)
                await send(message)

            refusal = self._refuse(scope)
            app = self._app if refusal is None else refusal
            await app(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that may not come in, or None."""
        headers = Headers(scope=scope)
        if not _is_ours(headers.get("host", ""), self._door):
            return refuse(
                403,
                "this page does not answer to that name; open it by the address that `lab dashboard` printed, "
                "or start it with --name.",
            )
        if self._door.token is not None and (answer := self._ask(scope, headers)):
            return answer
        if scope["method"] in SAFE:
            return _refuse_others_reading(headers)
        return _refuse_forgery(headers)

    def _ask(self, scope: Scope, headers: Headers) -> Response | None:
        """None for who has the cookie; a cookie for who brings the token; else 401."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["method"] == "GET" and scope["path"] == "/" and "token" in query:
            if any(self._is_token(given) for given in query["token"]):
                return self._welcome()
            return _unknown(WRONG_TOKEN, page=True)
        given = cookie_parser(headers.get("cookie", "")).get(self._door.cookie)
        if given is not None and self._is_token(given):
            return None
        return _unknown(STRANGER, page=scope["path"] == "/")

    def _is_token(self, given: str) -> bool:
        wanted = (self._door.token or "").encode()
        return hmac.compare_digest(given.encode("utf-8", "replace"), wanted)

    def _welcome(self) -> Response:
        """A page that goes on to / by itself.

        A redirect would do where the visit began here; but a browser that follows a link from a mail's page keeps
        a SameSite=Strict cookie back over the redirect. From this page of our own it sends it.
        """
        response = HTMLResponse(
            _page('<meta http-equiv="refresh" content="0;url=/">', '<a href="/">Go on</a>')
        )
        response.set_cookie(
            self._door.cookie,
            self._door.token or "",
            max_age=COOKIE_S,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return response


def _is_ours(host: str, door: Door) -> bool:
    """Whether a Host header names us. Whoever rebinds a name of his own to our address is refused by it."""
    name = host.lower()
    if name.startswith("["):
        name = name.partition("]")[0].removeprefix("[")
    else:
        name = name.rpartition(":")[0] if ":" in name else name
    if name.removesuffix(".") in door.names:
        return True
    if not door.any_address:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refuse_others_reading(headers: Headers) -> Response | None:
    """No answer to another page's script; to follow a link from one is a person's right."""
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    if site in ("cross-site", "same-site") and mode != "navigate":
        return refuse(403, "another page may not read this one.")
    return None


def _refuse_forgery(headers: Headers) -> Response | None:
    """What a page of another origin cannot send, a request that changes something must have."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin.lower() not in (
        f"http://{host}".lower(),
        f"https://{host}".lower(),
    ):
        return refuse(
            403, "only this page itself may change something: the request came from another."
        )
    if headers.get("sec-fetch-site") not in (None, "same-origin"):
        return refuse(
            403, "only this page itself may change something: the request came from another."
        )
    if kind != "application/json" or headers.get("x-nightlab") != "1":
        return refuse(
            403, "what changes something is sent as JSON with the header `X-Nightlab: 1`."
        )
    return None


def _unknown(sentence: str, *, page: bool) -> Response:
    if not page:
        return refuse(401, sentence.partition(" If ")[0])
    return HTMLResponse(_page("", f'<p>{sentence}</p><p><a href="/">Open the page</a></p>'), 401)


def _page(head: str, body: str) -> str:
    """A page of our own words alone."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="color-scheme" content="light dark"><title>Nightlab</title>{head}<main>{body}</main></html>'
    )
