"""Running `docker compose`: the door to what compose/ describes.

Owns    which command it is, and installing Debian's where there is none
Takes   a file of compose/, a project's name, and values for its variables
Gives   services that are built, or up
Never   takes anything down: the engine itself removes a project, so that it works after any crash
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import EngineError
from lab.host import PROGRAMS, Host, Say, look_at_host
from lab.settings import CHECKOUT, Settings

COMPOSE = CHECKOUT / "compose"
ANSWER_S = 20
BUILD_S = 1800
UP_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One file of compose/ under a name of its own."""

    command: tuple[str, ...]
    file: Path
    name: str
    engine_url: str
    values: Mapping[str, str]  # of the file's variables

    def build(self, *services: str) -> None:
        """Build the images of these services.

        Raises:
            EngineError: a build failed.
        """
        self._run("build", *services, timeout_s=BUILD_S)

    def up(self, service: str) -> None:
        """A fresh container of a service, running.

        Raises:
            EngineError: it could not be started.
        """
        self._run(
            "up", "--detach", "--no-build", "--no-deps", "--force-recreate", service, timeout_s=UP_S
        )

    def _run(self, *arguments: str, timeout_s: float) -> None:
        command = [*self.command, "--project-name", self.name, "--file", str(self.file), *arguments]
        try:
            result = subprocess.run(
                command,
                env={**_plain_environment(), "DOCKER_HOST": self.engine_url, **self.values},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
            why = None if result.returncode == 0 else _end_of(result.stderr or result.stdout)
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why is not None:
            raise EngineError(
                f"compose/{self.file.name} could not be {'built' if arguments[0] == 'build' else 'started'}.",
                why=why,
                do=f"try it by hand: {' '.join(command)}",
            )


def find_compose(settings: Settings, say: Say, *, host: Host | None = None) -> tuple[str, ...]:
    """The command that is Compose here: the engine's plugin, else the program; installed if it may be.

    Raises:
        EngineError: there is none.
    """
    host = host or look_at_host()
    for command in (("docker", "compose"), ("docker-compose",)):
        if host.run([*command, "version"]).returncode == 0:
            return command
    do = "install Docker's compose plugin, or on Debian or Ubuntu `apt-get install docker-compose`."
    if not settings.install_engine or not host.can_install:
        raise EngineError("there is no Compose here, which starts what compose/ describes.", do=do)
    say("no Compose here: installing docker-compose from the distribution")
    if why := host.install("docker-compose"):
        raise EngineError("docker-compose could not be installed.", why=why, do=do)
    return ("docker-compose",)


def name_of_project(folder: Path) -> str:
    """The Compose project that belongs to a folder; two checkouts may use one name."""
    return f"nightlab-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def _plain_environment() -> dict[str, str]:
    """What the command itself needs; a file's variables come from its values alone."""
    return {"PATH": PROGRAMS, "HOME": str(Path.home())}


def _end_of(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it said nothing"
