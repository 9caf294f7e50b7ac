"""The live page: the campaigns of this lab, past and running, in a browser, as they happen.

    gate      who may ask, and the headers that every answer has
    watching  one look a second at what is followed, for all readers together
    pages     the routes: Stories, Details, events
    actions   what a reader may do: stop, pin a note, hand in a train.py
    wire      JSON, and what is said when something fails

Owns    nothing of a campaign: it can come and go without disturbing a night
Takes   the runs folder
Gives   the page of lab/page, and JSON of lab/story/shapes
Never   listens beyond loopback without a token
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path

from lab.errors import BadInput
from lab.host import Say
from lab.settings import Settings

TOKEN_FILE = "dashboard.token"  # noqa: S105, the name of a file
CLOSING_S = 2
NICENESS = 5  # a night that shares our core comes first

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def serve_dashboard(
    settings: Settings,
    *,
    host: str,
    port: int,
    read_only: bool,
    ask_token: bool,
    names: Sequence[str],
    say: Say,
) -> None:
    """Serve the page until a signal. Port 0 takes a free one; `names` are further names of this host.

    Raises:
        BadInput: the address or the runs folder cannot be used, or the token is not safe.
    """
    # Imported late: the web server takes a third of a second, which no other command should wait for.
    from lab.dashboard.gate import LOOPBACK_NAMES, Door
    from lab.dashboard.pages import make_app
    from lab.serving import listen, read_token, serve

    address = address_of(host)
    _see_that_it_can_be_read(settings.runs)
    token = None
    if ask_token or not address.is_loopback:
        token = settings.dashboard_token or read_token(settings.state, TOKEN_FILE)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with listen(str(address), port) as listener:
        bound = listener.getsockname()[1]
        # The address itself: 127.0.0.2 is loopback, too, and no name of it.
        known = {*LOOPBACK_NAMES, str(address), *map(str.lower, names)}
        if not address.is_loopback:
            known.add(socket.gethostname().lower())
        door = Door(
            names=frozenset(known),
            any_address=address.is_unspecified,
            token=token,
            cookie=f"nightlab-{bound}",  # a browser sends the cookies of all ports to each
        )
        place = place_of(address, bound)
        if (
            settings.dashboard_token
        ):  # who gave it knows it, and what is said here may be kept as a log
            say(f"live page at {place}?token=... (NIGHTLAB_DASHBOARD_TOKEN)")
        else:
            say(f"live page at {place}" + (f"?token={token}" if token else ""))
        if not address.is_loopback:
            may = (
                "see everything here"
                if read_only
                else "see everything here, and stop, note and queue"
            )
            say(f"whoever has this address may {may}; it goes over the network in the clear")
        live = make_app(settings.runs, settings.program, door, actions_too=not read_only)
        serve(live.app, listener, closing_s=CLOSING_S, closing=live.end_streams)


def address_of(host: str) -> Address:
    """The address of this host that `host` is.

    Raises:
        BadInput: it is a name.
    """
    if host == "localhost":
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise BadInput(
            f"{host} is no address.",
            why="the page listens on one address of this host, or on all of them (0.0.0.0).",
            do="give the address that others reach this host by (`hostname -I` lists them).",
        ) from None


def _see_that_it_can_be_read(runs: Path) -> None:
    """An empty page would say that there is no campaign."""
    if runs.exists() and not os.access(runs, os.R_OK | os.X_OK, effective_ids=True):
        facts = runs.stat()
        raise BadInput(
            f"the user {os.geteuid()}:{os.getegid()} cannot read the folder of campaigns.",
            why=f"{runs} belongs to {facts.st_uid}:{facts.st_gid}, {stat.filemode(facts.st_mode)}.",
            do=f"serve the page as that user (`make team USER={facts.st_uid}:{facts.st_gid}`), "
            "or open the folder: chmod -R go+rX runs",
        )


def place_of(address: Address, port: int) -> str:
    """Where a browser finds what listens there."""
    shown = socket.gethostname() if address.is_unspecified else str(address)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"
