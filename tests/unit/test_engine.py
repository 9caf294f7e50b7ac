"""The container engine: used where it is, set up where it may be, and never anybody else's to stop."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab import engine
from lab.engine import Answer, ask, ensure_engine, find_engine, stop_engine
from lab.errors import EngineError
from lab.host import Host, look_at_host, run_quietly
from lab.settings import Settings, read_settings

# A server that answers as an engine does, under the name and with the flags of one.
FAKE_DOCKERD = """#!{python}
import os, socket, sys
pid_file = sys.argv[sys.argv.index("--pidfile") + 1]
open(pid_file, "w").write(str(os.getpid()))
print("listening", flush=True)
with socket.socket(socket.AF_UNIX) as server:
    server.bind({socket!r})
    server.listen()
    while True:
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK")
        connection.close()
"""


class Recorder:
    """A stand-in for running commands: it notes them and answers with exit codes by their first match."""

    def __init__(self, codes: dict[str, list[int]] | None = None) -> None:
        self.commands: list[str] = []
        self.codes = codes or {}

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        self.commands.append(line)
        for part, codes in self.codes.items():
            if part in line and codes:
                return subprocess.CompletedProcess(
                    list(command), codes.pop(0), "", "E: no such package"
                )
        return subprocess.CompletedProcess(list(command), 0, "", "")


def a_host(
    run: Recorder, *, has_apt: bool = True, root: tuple[str, ...] | None = (), systemd: bool = False
) -> Host:
    return Host(
        distribution="debian" if has_apt else "fedora",
        codename="bookworm" if has_apt else "",
        has_apt=has_apt,
        become_root=root,
        has_systemd=systemd,
        run=run,
    )


@pytest.fixture
def lonely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on a host without an engine: no socket, no server, and a short patience."""
    monkeypatch.setattr(engine, "DEFAULT_SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(
        engine,
        "default_sockets",
        lambda: [f"unix://{path}" for path in [tmp_path / "docker.sock"] if path.exists()],
    )
    monkeypatch.setattr(engine, "PROGRAMS", str(tmp_path / "sbin"))
    monkeypatch.setattr(engine, "START_TIMEOUT_S", 10.0)
    return read_settings({}, state=tmp_path / "state")


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[str]:
    """A socket that answers every request with 200, as an engine's /_ping does."""
    path = tmp_path / "answering.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"unix://{path}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def write_dockerd(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / "dockerd"
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_a_socket_that_nobody_listens_on_is_silent_not_an_exception(tmp_path: Path) -> None:
    """A crashed engine leaves its socket behind; that is the commonest broken host."""
    left_behind = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left_behind))
    assert ask(f"unix://{left_behind}") is Answer.SILENT
    assert ask(f"unix://{tmp_path / 'absent.sock'}") is Answer.SILENT


def test_the_engine_that_the_user_chose_is_used_and_nothing_is_installed(
    lonely: Settings, answering: str
) -> None:
    """DOCKER_HOST may name another machine, or rootless Podman: it is the user's word."""
    run = Recorder()
    chosen = lonely.model_copy(update={"docker_host": answering})
    assert ensure_engine(chosen, pytest.fail, host=a_host(run)) == answering
    assert find_engine(chosen) == answering
    assert run.commands == []


def test_a_chosen_engine_that_is_silent_is_an_error_not_a_reason_to_install_another(
    lonely: Settings, tmp_path: Path
) -> None:
    """Containers would appear on a machine that the user did not choose."""
    run = Recorder()
    chosen = lonely.model_copy(update={"docker_host": f"unix://{tmp_path / 'gone.sock'}"})
    with pytest.raises(EngineError, match="DOCKER_HOST"):
        ensure_engine(chosen, pytest.fail, host=a_host(run))
    assert run.commands == []


@pytest.mark.parametrize(
    ("install", "has_apt", "root", "why"),
    [
        pytest.param(False, True, (), "NIGHTLAB_INSTALL_ENGINE=0", id="forbidden"),
        pytest.param(True, True, None, "sudo without a password", id="neither-root-nor-sudo"),
        pytest.param(True, False, (), "not Debian or Ubuntu", id="another-distribution"),
    ],
)
def test_where_it_may_not_install_it_says_the_remedy_and_touches_nothing(
    lonely: Settings, install: bool, has_apt: bool, root: tuple[str, ...] | None, why: str
) -> None:
    """A lab that asks for a password, or changes a host against its owner's word, is not run twice."""
    run = Recorder()
    asked = lonely.model_copy(update={"install_engine": install})
    with pytest.raises(EngineError) as caught:
        ensure_engine(asked, pytest.fail, host=a_host(run, has_apt=has_apt, root=root))
    assert why in str(caught.value) and "docker.io" in caught.value.do
    assert run.commands == []


def test_a_bare_debian_gets_the_distributions_engine_and_one_line_says_so(
    lonely: Settings, tmp_path: Path
) -> None:
    """`make overnight` on a fresh machine must need no second command."""
    said: list[str] = []

    class Installs(Recorder):
        def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
            super().__call__(command)
            if "install" in command:
                script = FAKE_DOCKERD.format(
                    python=sys.executable, socket=str(tmp_path / "docker.sock")
                )
                write_dockerd(tmp_path / "sbin", script)
            return run_quietly(command) if "setsid" in command else _done(command)

    run = Installs()
    try:
        url = ensure_engine(lonely, said.append, host=a_host(run))
        assert url == f"unix://{tmp_path / 'docker.sock'}"
        assert ask(url) is Answer.OK
        assert len(said) == 1 and "docker.io" in said[0]
        assert sum("docker.io" in command for command in run.commands) == 1
    finally:
        assert stop_engine(lonely)


def test_an_engine_started_here_outlives_us_and_holds_nothing_of_ours_open(
    lonely: Settings, tmp_path: Path
) -> None:
    """A script that runs `make test` in a pipe would otherwise wait for the engine for ever."""
    socket_path = tmp_path / "docker.sock"
    script = FAKE_DOCKERD.format(python=sys.executable, socket=str(socket_path))
    write_dockerd(tmp_path / "sbin", script)
    host = Host(
        distribution="debian",
        codename="bookworm",
        has_apt=True,
        become_root=(),
        has_systemd=False,
    )
    ensure_engine(lonely, lambda _: None, host=host)
    pid = int((lonely.state / "dockerd.pid").read_text())
    try:
        log = str(lonely.state / "dockerd.log")
        streams = [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)]
        assert streams == ["/dev/null", log, log]
        assert os.getsid(pid) != os.getsid(0)
    finally:
        assert stop_engine(lonely)
    for _ in range(100):
        if ask(f"unix://{socket_path}") is Answer.SILENT:
            break
        time.sleep(0.05)
    assert ask(f"unix://{socket_path}") is Answer.SILENT
    assert not stop_engine(lonely), "a second stop finds nothing"


def test_package_lists_are_refreshed_only_when_the_first_try_fails() -> None:
    """An update costs ten seconds and a network; a fresh container image has no lists at all."""
    fresh, stale = Recorder(), Recorder({"install": [100, 0]})
    assert a_host(fresh).install("docker.io") is None
    assert a_host(stale).install("docker.io") is None
    assert [command.split()[4] for command in fresh.commands] == ["install"]
    assert [command.split()[4] for command in stale.commands] == ["install", "update", "install"]
    assert a_host(Recorder({"install": [100, 100]})).install("docker.io") == "E: no such package"


def test_a_systemd_host_starts_the_engine_as_a_service(lonely: Settings, tmp_path: Path) -> None:
    """A dockerd beside systemd's own would fight it for the same storage."""
    write_dockerd(tmp_path / "sbin", "#!/bin/sh\nexit 1\n")
    run = Recorder()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(EngineError, match="did not answer"):
        patch.setattr(engine, "START_TIMEOUT_S", 0.3)
        ensure_engine(lonely, lambda _: None, host=a_host(run, systemd=True))
    assert run.commands == ["systemctl start docker"]


def test_an_engine_that_dies_at_once_is_an_error_with_the_last_line_of_its_log(
    lonely: Settings, tmp_path: Path
) -> None:
    """That it did not start helps nobody; its own last words usually do."""
    write_dockerd(tmp_path / "sbin", "#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
    run = Recorder()
    host = a_host(run)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(EngineError) as caught:
        patch.setattr(engine, "START_TIMEOUT_S", 1.0)
        patch.setattr(host.__class__, "as_root", lambda _, *command: run_quietly(command))
        ensure_engine(lonely, lambda _: None, host=host)
    assert "no space left on device" in caught.value.why


def test_a_pid_file_that_names_another_process_stops_nobody(lonely: Settings) -> None:
    """After a reboot the number in the file belongs to somebody else."""
    sleeper = subprocess.Popen([shutil.which("sleep") or "sleep", "30"])
    try:
        lonely.state.mkdir()
        (lonely.state / "dockerd.pid").write_text(str(sleeper.pid))
        assert not stop_engine(lonely)
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize(
    ("release", "has_apt"),
    [
        pytest.param("ID=debian\nVERSION_CODENAME=bookworm\n", True, id="debian"),
        pytest.param('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True, id="child-of-ubuntu"),
        pytest.param('ID="fedora"\n', False, id="fedora"),
        pytest.param("", False, id="unreadable"),
    ],
)
def test_what_a_host_is_comes_from_its_os_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, has_apt: bool
) -> None:
    """apt-get on a distribution that is no Debian would install something else, or break it."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "os-release").write_text(release)
    host = look_at_host(Recorder(), os_release=tmp_path / "os-release")
    assert host.has_apt is has_apt


def _done(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(list(command), 0, "", "")
