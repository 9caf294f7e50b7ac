"""A container engine that answers: the one there is, else one from the distribution.

Owns    installing, starting and stopping the engine
Takes   the settings: DOCKER_HOST, and whether we may install
Gives   the URL of an engine that answers
Never   stops an engine that it did not start, or replaces one that the user chose
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import time
from enum import Enum
from pathlib import Path

from lab.errors import EngineError
from lab.host import PROGRAMS, Host, Say, look_at_host
from lab.settings import Settings

DEFAULT_SOCKET = Path("/var/run/docker.sock")
PING_TIMEOUT_S = 5.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0

REMEDY = (
    "install and start Docker (on Debian or Ubuntu: `apt-get install docker.io`), or start Podman's "
    "socket (`systemctl --user start podman.socket`), or set DOCKER_HOST to an engine that runs."
)


class Answer(Enum):
    """What a socket said when it was asked."""

    OK = "answers"
    FORBIDDEN = "answers, but not to this user"
    SILENT = "does not answer"


def default_sockets() -> list[str]:
    """URLs of the engines' usual sockets that exist here: Docker, rootless Docker, then Podman."""
    user = Path(f"/run/user/{os.getuid()}")
    usual = (
        DEFAULT_SOCKET,
        user / "docker.sock",
        Path.home() / ".docker/run/docker.sock",
        Path.home() / ".docker/desktop/docker.sock",
        user / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    )
    return [f"unix://{path}" for path in usual if _is_socket(path)]


def ask(url: str) -> Answer:
    """Ping an engine at a unix socket. Any other kind of URL is left to the client that opens it."""
    if not url.startswith("unix://"):
        return Answer.OK
    connection = http.client.HTTPConnection("localhost", timeout=PING_TIMEOUT_S)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(PING_TIMEOUT_S)
        connection.sock.connect(url.removeprefix("unix://"))
        connection.request("GET", "/_ping")
        return Answer.OK if connection.getresponse().status == 200 else Answer.SILENT
    except PermissionError:
        return Answer.FORBIDDEN
    except (OSError, http.client.HTTPException):
        return Answer.SILENT
    finally:
        connection.close()


def find_engine(settings: Settings) -> str | None:
    """The URL of an engine that answers this user; None where there is none. Changes nothing."""
    urls = [settings.docker_host] if settings.docker_host else default_sockets()
    return next((url for url in urls if ask(url) is Answer.OK), None)


def ensure_engine(settings: Settings, say: Say, *, host: Host | None = None) -> str:
    """The URL of an engine that answers; on Debian or Ubuntu one is installed and started if need be.

    Raises:
        EngineError: none answers and none may or can be started.
    """
    if url := find_engine(settings):
        return url
    if settings.docker_host:
        raise EngineError(
            f"the engine that DOCKER_HOST names does not answer: {settings.docker_host}",
            do="start it, or unset DOCKER_HOST to use the engine of this machine.",
        )
    forbidden = [url for url in default_sockets() if ask(url) is Answer.FORBIDDEN]
    if forbidden:
        raise EngineError(
            "a container engine runs, but this user may not talk to it.",
            why=f"permission denied at {forbidden[0]}",
            do='`sudo usermod -aG docker "$USER"`, log in again, and start again.',
        )
    host = host or look_at_host()
    _refuse_unless_allowed(settings, host)
    if shutil.which("dockerd", path=PROGRAMS) is None:
        say("no container engine here: installing docker.io from the distribution and starting it")
        # Where the kernel has AppArmor, Docker starts no container without its parser.
        apparmor = ["apparmor"] if Path("/sys/module/apparmor").is_dir() else []
        if why := host.install("docker.io", *apparmor):
            raise EngineError("docker.io could not be installed.", why=why, do=REMEDY)
    else:
        say("the container engine is installed but does not run: starting it")
    _start(settings, host)
    return f"unix://{DEFAULT_SOCKET}"


def stop_engine(settings: Settings, *, host: Host | None = None) -> bool:
    """Stop the engine that `ensure_engine` started in the background; any other is left alone.

    Returns:
        Whether there was one.
    """
    pid = _our_pid(settings)
    if pid is None:
        return False
    _kill(pid, signal.SIGTERM, host)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _is_dockerd(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    if _is_dockerd(pid):
        _kill(pid, signal.SIGKILL, host)
    _pid_file(settings).unlink(missing_ok=True)
    return True


def _refuse_unless_allowed(settings: Settings, host: Host) -> None:
    if not settings.install_engine:
        raise EngineError(
            "no container engine answers, and NIGHTLAB_INSTALL_ENGINE=0 forbids to set one up.",
            do=REMEDY,
        )
    if not host.can_install:
        raise EngineError(
            "no container engine answers, and this user cannot install one.",
            why=(
                "neither root nor sudo without a password"
                if host.has_apt
                else f"{host.distribution} is not Debian or Ubuntu"
            ),
            do=REMEDY,
        )


def _start(settings: Settings, host: Host) -> None:
    """Start the engine and wait until it answers."""
    log = settings.state.resolve() / "dockerd.log"
    if host.has_systemd:
        host.as_root("systemctl", "start", "docker")
        where = "`journalctl -u docker`"
    else:
        _start_in_background(settings, host, log)
        where = str(log)
    url = f"unix://{DEFAULT_SOCKET}"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        match ask(url):
            case Answer.OK:
                return
            case Answer.FORBIDDEN:
                # Membership of the group counts from the next log-in; the owner of the socket may talk now.
                host.as_root("chown", str(os.getuid()), str(DEFAULT_SOCKET))
            case Answer.SILENT:
                time.sleep(0.2)
    raise EngineError(
        f"the container engine was started, but did not answer within {START_TIMEOUT_S:.0f} s.",
        why=_last_line(log) if not host.has_systemd else "",
        do=f"read {where}; then start again.",
    )


def _start_in_background(settings: Settings, host: Host, log: Path) -> None:
    """A dockerd in a session of its own: it outlives us and holds none of our files open."""
    log.parent.mkdir(parents=True, exist_ok=True)
    pid_file = _pid_file(settings)
    # dockerd refuses to start over a pid file whose number has meanwhile gone to another process.
    pid_file.unlink(missing_ok=True)
    host.as_root(
        "setsid",
        "--fork",
        "sh",
        "-c",
        'exec >>"$1" 2>&1 </dev/null; PATH=$3; export PATH; exec dockerd --pidfile "$2"',
        "dockerd",
        str(log),
        str(pid_file),
        PROGRAMS,
    )


def _pid_file(settings: Settings) -> Path:
    return settings.state.resolve() / "dockerd.pid"


def _our_pid(settings: Settings) -> int | None:
    try:
        pid = int(_pid_file(settings).read_text())
    except (OSError, ValueError):
        return None
    return pid if _is_dockerd(pid) else None


def _is_dockerd(pid: int) -> bool:
    """Whether this process is a dockerd that lives: a number alone may meanwhile belong to anybody."""
    try:
        _, _, after = Path(f"/proc/{pid}/stat").read_text().partition(" (")
    except OSError:
        return False
    name, _, state = after.partition(") ")
    return name == "dockerd" and not state.startswith("Z")


def _kill(pid: int, number: signal.Signals, host: Host | None) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        (host or look_at_host()).as_root("kill", f"-{number.value}", str(pid))


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:  # a folder on the way that we may not read
        return False


def _last_line(log: Path) -> str:
    try:
        return log.read_text(errors="replace").strip().splitlines()[-1]
    except (OSError, IndexError):
        return ""
