"""One server of this host, for a container that cannot reach the host: lines from a unix socket to it and back.

Owns    every line over that socket until the block ends
Takes   where the socket is to be, and where the server listens
Gives   bytes, as they come; none is read
Never   leads anywhere else: whoever connects cannot say where to
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from lab.gate import listening

MOST_LINES = 64  # one a request: more than an assistant asks at a time
CONNECT_S = 10.0
CHUNK_BYTES = 65_536
CROWDED_S = 0.1  # until the next look, when the host has no descriptor left


@contextlib.contextmanager
def forwarding(socket_path: Path, host: str, port: int) -> Iterator[None]:
    """Whoever connects to the unix socket talks to that server, until the block ends; then every line is cut."""
    lines = _Lines((host, port))
    with listening(socket_path) as listener:
        listener.listen(MOST_LINES)
        thread = threading.Thread(
            target=lines.take_from, args=(listener,), name="forwarding", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            lines.cut()
    thread.join()


class _Lines:
    """The lines that are open, each with a thread of its own."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._open: dict[
            socket.socket, socket.socket | None
        ] = {}  # the server's end, once it is there
        self._over = threading.Event()

    def take_from(self, listener: socket.socket) -> None:
        """Open a line for everyone who comes while there is room; the others are hung up on."""
        while not self._over.is_set():
            try:
                near, _ = listener.accept()
            except OSError:  # it was closed; or there are no descriptors, which may pass
                self._over.wait(CROWDED_S)
                continue
            with self._lock:
                has_room = len(self._open) < MOST_LINES and not self._over.is_set()
                if has_room:
                    self._open[near] = None
            if has_room:
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()
            else:
                near.close()

    def cut(self) -> None:
        """End every line, and take no other."""
        with self._lock:
            self._over.set()
            for end in (*self._open.keys(), *self._open.values()):
                if end is not None:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def _carry(self, near: socket.socket) -> None:
        with near:
            try:
                # A server that is down, or hangs up in the middle: the gate says so to who asked.
                with contextlib.suppress(OSError), self._far_end(near) as far:
                    _join(near, far)
            finally:
                with self._lock:
                    del self._open[near]

    def _far_end(self, near: socket.socket) -> socket.socket:
        far = socket.create_connection(self._server, CONNECT_S)
        far.settimeout(None)  # a model thinks for as long as it likes
        with self._lock:
            self._open[near] = far
            if self._over.is_set():  # `cut` has not seen it
                far.shutdown(socket.SHUT_RDWR)
        return far


def _join(near: socket.socket, far: socket.socket) -> None:
    """Carry what comes from either end to the other, until one hangs up: then nobody waits for the answer."""
    other = {near: far, far: near}
    with selectors.DefaultSelector() as ends:
        for end in other:
            ends.register(end, selectors.EVENT_READ)
        while True:
            for ready, _ in ends.select():
                end = near if ready.fileobj is near else far
                chunk = end.recv(CHUNK_BYTES)
                if not chunk:
                    return
                other[end].sendall(chunk)
