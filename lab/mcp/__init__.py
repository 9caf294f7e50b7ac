"""Who is outside, a person or a coding assistant, drives a campaign from here and touches nothing else.

    desk      what an outsider may read and hand in, without any protocol
    rows      one experiment as a row of the history
    shapes    the arguments and answers of the tools, as schemas
    server    the tools and resources, as the Model Context Protocol has them
    serve     the transports: stdio, HTTP on loopback behind a token, a unix socket for a jail

All of it reads the campaign's folder and writes its inbox and its notebook, so it can come and go without disturbing the night.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.errors import BadInput
from lab.host import Say
from lab.inbox import Refused, Submission
from lab.mcp.desk import Desk
from lab.runs import find_campaign
from lab.settings import Settings

LOOK_EVERY_S = 1.0


def serve_mcp(settings: Settings, *, port: int | None, say: Say) -> None:
    """Serve the campaign that TAG names, which may begin later, else the latest. Without a port on stdio.

    Raises:
        BadInput: there is no campaign and no TAG, or HTTP cannot start.
    """
    # Imported late: the SDK takes most of a second, which no other command should wait for.
    from lab.mcp.serve import TOKEN_FILE, serve_http, serve_stdio
    from lab.mcp.server import make_server
    from lab.serving import read_token

    server = make_server(open_desk(settings))
    if port is None:
        serve_stdio(server)
        return
    token = read_token(settings.state, TOKEN_FILE)
    say(f"the token is in {settings.state / TOKEN_FILE}: Authorization: Bearer <token>")
    serve_http(server, port=port, token=token, say=say)


@contextlib.contextmanager
def serve_jail(desk: Desk, folder: Path, *, alive: Callable[[], bool]) -> Iterator[None]:
    """Serve a campaign on a unix socket in `folder`, for the gate of a jail, until the block ends."""
    from lab.mcp.serve import serving
    from lab.mcp.server import make_server

    with serving(make_server(desk), folder, alive=alive):
        yield


def open_desk(settings: Settings) -> Desk:
    """The desk of the campaign that TAG names, else of the latest."""
    folder = (
        settings.runs / settings.tag if settings.tag else find_campaign(settings.runs, settings.tag)
    )
    return Desk(folder=folder, program=settings.program)


def submit_by_hand(
    settings: Settings,
    file: Path,
    *,
    title: str,
    hypothesis: str,
    again: bool,
    wait: bool,
    say: Say,
) -> None:
    """Put a file in line, with `again` though it was tried, and with `wait` stay until its result is there.

    Raises:
        BadInput: it cannot be read or run; the reason says what to change.
    """
    desk = Desk(folder=find_campaign(settings.runs, settings.tag), program=settings.program)
    try:
        submission = Submission(
            title=title,
            hypothesis=hypothesis,
            train_py=file.read_text(encoding="utf-8"),
            author="human",
            again=again,
        )
        ticket = desk.put(submission)
    except (OSError, UnicodeDecodeError, Refused) as error:
        raise BadInput(
            f"{file} was not submitted.",
            why=str(error),
            do="change it and submit again; what was tried runs once more with --again.",
        ) from error
    say(f"ticket {ticket.ticket} of {desk.folder.name}: {ticket.words}")
    while wait and not ticket.final:
        time.sleep(LOOK_EVERY_S)
        before, ticket = ticket.words, desk.ticket(ticket.ticket)
        if ticket.words != before:
            say(f"ticket {ticket.ticket}: {ticket.words}")
