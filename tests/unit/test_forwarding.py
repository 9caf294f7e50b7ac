"""The way from a jail to one server of this host: there and back, nowhere else, and gone with the night."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import forwarding as forwarding_module
from lab.forwarding import forwarding

PATIENCE_S = 10.0


class Echo:
    """A server on the loopback that gives back what it gets."""

    def __init__(self, port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self.listener.getsockname()[1]
        self.served: list[socket.socket] = []

    @contextmanager
    def running(self) -> Iterator[Echo]:
        threading.Thread(target=self._take, daemon=True).start()
        try:
            yield self
        finally:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def _take(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            self.served.append(line)
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line:
            while chunk := line.recv(65_536):
                line.sendall(chunk)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo().running() as server:
        yield server


def connect(path: Path) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(PATIENCE_S)
    line.connect(str(path))
    return line


def read(line: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (chunk := line.recv(65_536)):
        got += chunk
    return got


def is_hung_up(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def test_what_is_said_comes_there_and_back_whole(tmp_path: Path, echo: Echo) -> None:
    """A prompt is megabytes, and several questions are asked at once."""
    said = [bytes([n]) * 1_500_000 for n in range(4)]
    with forwarding(tmp_path / "m.sock", "127.0.0.1", echo.port):
        lines = [connect(tmp_path / "m.sock") for _ in said]
        for line, words in zip(lines, said, strict=True):
            threading.Thread(target=line.sendall, args=(words,), daemon=True).start()
        for line, words in zip(lines, said, strict=True):
            assert read(line, len(words)) == words
            line.close()


def test_with_the_night_every_line_ends(tmp_path: Path, echo: Echo) -> None:
    """A model that still thinks when the night is over must not be asked on."""
    with forwarding(tmp_path / "m.sock", "127.0.0.1", echo.port):
        line = connect(tmp_path / "m.sock")
        line.sendall(b"x")
        assert read(line, 1) == b"x"
    assert is_hung_up(line)
    assert not (tmp_path / "m.sock").exists()
    line.close()
    assert all(ended(server) for server in echo.served)


def ended(line: socket.socket) -> bool:
    """Whether the server's end is closed, within a while."""
    deadline = time.monotonic() + PATIENCE_S
    while line.fileno() != -1 and time.monotonic() < deadline:
        time.sleep(0.01)
    return line.fileno() == -1


def test_who_hangs_up_is_not_answered_any_more(tmp_path: Path, echo: Echo) -> None:
    """An assistant that is ended in the middle of an answer: the model should stop too."""
    with forwarding(tmp_path / "m.sock", "127.0.0.1", echo.port):
        line = connect(tmp_path / "m.sock")
        line.sendall(b"x")
        assert read(line, 1) == b"x"
        line.close()
        assert ended(echo.served[0])


def test_a_server_that_is_down_is_said_at_once_and_may_come_back(tmp_path: Path) -> None:
    """Ollama is restarted in the night; the next question must find it."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    path = tmp_path / "m.sock"
    with forwarding(path, "127.0.0.1", port):
        for _ in range(3):
            with connect(path) as line:
                assert is_hung_up(line)
        with Echo(port).running():
            assert answers(path)


def test_more_lines_than_there_is_room_for_are_hung_up_on(
    tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A jailed program must not take the controller's descriptors; when it lets go, there is room again."""
    monkeypatch.setattr(forwarding_module, "MOST_LINES", 2)
    path = tmp_path / "m.sock"
    with forwarding(path, "127.0.0.1", echo.port):
        held = [connect(path), connect(path)]
        for line in held:
            line.sendall(b"x")
            assert read(line, 1) == b"x"
        with connect(path) as third:
            assert is_hung_up(third)
        for line in held:
            line.close()
        assert all(ended(server) for server in echo.served)
        deadline = time.monotonic() + PATIENCE_S
        while not answers(path):
            assert time.monotonic() < deadline


def answers(path: Path) -> bool:
    with connect(path) as line:
        try:
            line.sendall(b"x")
            return read(line, 1) == b"x"
        except OSError:
            return False
