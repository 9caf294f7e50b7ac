"""The live page for a team, in a container of its own that outlives every terminal. compose/dashboard.yaml says what it may.

Owns    the page's image, its one container, and the token of its own
Takes   an open engine, and where to listen
Gives   the address to open, once the page answers there
Never   serves a button, and never hands the container anything that can be written
"""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from lab.compose import COMPOSE, Project, find_compose, name_of_project
from lab.container import Container, Engine
from lab.dashboard import address_of, place_of
from lab.errors import BadInput, EngineError
from lab.host import Say
from lab.image import ensure_base_image
from lab.image.found import HARNESS, IMAGES
from lab.image.wheelhouse import download_wheels
from lab.serving import read_token
from lab.settings import CHECKOUT, Settings

LOCK = CHECKOUT / "requirements" / "dashboard.lock"
TOKEN_FILE = "team.token"  # noqa: S105, the name of a file
SERVICE = "dashboard"
NOBODY = "10001:10001"
START_S = 60
ASK_EVERY_S = 0.3
ANSWER_S = 5

_USER = re.compile(r"\d{1,10}:\d{1,10}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def start_team_page(
    engine: Engine,
    settings: Settings,
    *,
    host: str,
    port: int,
    names: Sequence[str],
    user: str | None,
    say: Say,
) -> None:
    """Build the page's image unless it is there, replace the container that runs, and wait until it answers.

    `host` is the address of this host to publish on, `names` are further names of it, and `user` is the UID:GID
    that reads runs/; None takes its owner, and nobody in particular where that is root.

    Raises:
        BadInput: the address or a name cannot be used, or the token is not safe.
        EngineError: the image cannot be built, or the page does not start.
    """
    address = address_of(host)
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name} is no name of a host.", do="give it without a port and blanks.")
    if user is not None and not _USER.fullmatch(user):
        raise BadInput(f"{user} is no user.", do="give numbers, UID:GID, as `id` prints them.")
    token = settings.dashboard_token or read_token(settings.state, TOKEN_FILE)
    runs = settings.runs.resolve()
    runs.mkdir(parents=True, exist_ok=True)
    base, _ = ensure_base_image(engine, settings, say)
    project = Project(
        command=find_compose(settings, say),
        file=COMPOSE / "dashboard.yaml",
        name=name_of_project(runs),
        engine_url=engine.url,
        values={
            "NIGHTLAB_BASE": base,
            "NIGHTLAB_CONTEXT": str(_assemble_context(settings, say)),
            "NIGHTLAB_HOSTNAME": socket.gethostname(),
            "NIGHTLAB_NAMES": " ".join(f"--name {name}" for name in names),
            "NIGHTLAB_ADDRESS": f"[{address}]" if address.version == 6 else str(address),
            "NIGHTLAB_PORT": str(port),
            "NIGHTLAB_RUNS": str(runs),
            "NIGHTLAB_USER": user or _reader_of(runs),
            "NIGHTLAB_DASHBOARD_TOKEN": token,
        },
    )
    say("building the page's image, unless it is there already")
    project.build(SERVICE)
    engine.remove_project(project.name)  # a network keeps the options that it was made with
    try:
        project.up(SERVICE)
        reach = "127.0.0.1" if address.is_unspecified else str(address)
        _wait_until_it_answers(engine, project.name, reach, port, token)
    except BaseException:
        engine.remove_project(project.name)
        raise
    shown = "..." if settings.dashboard_token else token
    say(f"live page, read-only, at {place_of(address, port)}?token={shown}")
    say("it goes on by itself, after a restart of the engine too; `make team STOP=1` ends it")
    if not address.is_loopback:
        say(
            "whoever has this address may see everything here; it goes over the network in the clear"
        )


def stop_team_page(engine: Engine, settings: Settings) -> bool:
    """Remove the page's container; False where there was none."""
    name = name_of_project(settings.runs)
    there = engine.attach(name, SERVICE) is not None
    engine.remove_project(name)
    return there


def _assemble_context(settings: Settings, say: Say) -> Path:
    """The folder that the image is built from: nothing of the checkout but what it runs."""
    wheels = download_wheels(settings, LOCK, say)
    context = settings.state.resolve() / "dashboard"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(wheels, context / "wheels")
    code = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HARNESS, context / "harness", ignore=code)
    shutil.copytree(Path(__file__).parent, context / "lab", ignore=code)
    shutil.copy(IMAGES / "dashboard" / "Dockerfile", context)
    return context


def _reader_of(runs: Path) -> str:
    """Who reads runs/ as its owner may; root's files are read like anybody's."""
    owner = runs.stat()
    return f"{owner.st_uid}:{owner.st_gid}" if owner.st_uid else NOBODY


def _wait_until_it_answers(engine: Engine, project: str, reach: str, port: int, token: str) -> None:
    """Until the list of campaigns comes.

    Raises:
        EngineError: the container ended, or said nothing for START_S.
    """
    container = engine.attach(project, SERVICE)
    deadline = time.monotonic() + START_S
    while container is not None and container.is_running() and time.monotonic() < deadline:
        if _answers(reach, port, token):
            return
        time.sleep(ASK_EVERY_S)
    raise EngineError(
        "the team's page did not start.",
        why=_words_of(container),
        do="mend that, then `make team` again; nothing was left running.",
    )


def _answers(reach: str, port: int, token: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        asked = http.client.HTTPConnection(reach, port, timeout=ANSWER_S)
        with contextlib.closing(asked):
            cookie = f"nightlab-{port}={token}"
            asked.request("GET", "/api/campaigns", headers={"Cookie": cookie})
            return asked.getresponse().status == http.client.OK
    return False


def _words_of(container: Container | None) -> str:
    lines = container.tail().decode("utf-8", "replace").split("\n") if container else []
    return " ".join(line.strip() for line in lines if line.strip()) or "it said nothing."
