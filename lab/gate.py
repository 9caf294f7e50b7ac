"""The host's end of a training run: the data gate, the clock, and the seal.

A train container can say four things over its one socket: that it started, how it is doing, and its
checkpoint's two parts. It is answered twice: the gate is open, the checkpoint is sealed. Nothing that
it writes anywhere else is ever read.

Owns    when the training data appears, when the clock starts and stops, and the checkpoint's bytes
Takes   a folder that the container sees as /gate, one that it sees as /data/train, the shards
Gives   Events, in order, each stamped by the host's monotonic clock
Never   trusts a size, an order or a number that comes out of the container
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import wire
from harness.wire import Kind, WireError

CHUNK_BYTES = 1 << 20
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the host observed of one training run, and what train.py claimed about it."""

    startup_s: float | None  # "create" to STARTED; None when it never started
    train_s: float | None  # gate opened to checkpoint sealed; None when nothing was sealed
    checkpoint_sha256: str | None  # of the weights; None when nothing was sealed
    config_sha256: str | None
    checkpoint_bytes: int | None
    peak_memory_bytes: int | None  # of the container, by the engine; None when it cannot say
    # Claims of train.py, for people; no decision uses them.
    steps: int | None
    tokens: int | None
    loss: float | None  # nats
    mfu: float | None  # None when the peak of the device is unknown


@dataclass(frozen=True, slots=True)
class Started:
    """The container is ready to train."""

    at: float  # host monotonic clock, seconds


@dataclass(frozen=True, slots=True)
class Report:
    """A claim of train.py about its own progress."""

    step: int
    tokens: int
    loss: float | None  # nats; None when it is not a number
    mfu: float | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """The whole checkpoint is on the host's disk, hashed on its way."""

    at: float
    sha256: str  # of the weights
    config_sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The container said something it may not say, or too much."""

    why: str


@dataclass(frozen=True, slots=True)
class HostFailed:
    """The host could not store the checkpoint. Not the experiment's fault."""

    error: OSError


Event = Started | Report | Sealed | Broken | HostFailed


@contextlib.contextmanager
def listening(socket_path: Path) -> Iterator[socket.socket]:
    """A unix socket that any user may connect to, gone when the block ends.

    A socket's address is limited to 107 bytes and a campaign's folder is not, so it is reached
    through a descriptor of its folder.
    """
    folder = os.open(socket_path.parent, os.O_RDONLY | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        socket_path.unlink(missing_ok=True)
        listener.bind(f"/proc/self/fd/{folder}/{socket_path.name}")
        socket_path.chmod(0o666)
        listener.listen(1)
        yield listener
    finally:
        with contextlib.suppress(OSError):  # wakes a thread that still waits in accept()
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        os.close(folder)
        socket_path.unlink(missing_ok=True)


class Gate:
    """One train container's conversation with the host, read by a thread of its own."""

    def __init__(
        self, listener: socket.socket, *, shards: Path, window: Path, checkpoint: Path, cap: int
    ) -> None:
        self._listener = listener
        self._shards = shards
        self._window = window  # the container's /data/train
        self._checkpoint = checkpoint
        self._cap_bytes = cap
        self._peer: socket.socket | None = None
        # Bounded: a flood of reports waits in the container, not in the controller's memory.
        self._events: queue.Queue[Event] = queue.Queue(maxsize=256)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._converse, name="gate", daemon=True)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, socket_path: Path, *, shards: Path, window: Path, checkpoint: Path, cap: int
    ) -> Iterator[Gate]:
        """Listen for one container. `shards` are linked into `window` when the gate opens."""
        for folder in (window, checkpoint):
            # A killed night leaves its links behind, and an open window would be a head start.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            folder.chmod(0o755)
        with listening(socket_path) as listener:
            gate = cls(listener, shards=shards, window=window, checkpoint=checkpoint, cap=cap)
            gate._thread.start()
            try:
                yield gate
            finally:
                gate._close()

    def next_event(self, timeout_s: float) -> Event | None:
        """The next thing that the container did, or None when nothing came within `timeout_s`."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def let_in(self) -> float:
        """Show the training data and say so; gives the host's time at which the budget began."""
        for shard in sorted(self._shards.iterdir()):
            os.link(shard, self._window / shard.name)
        assert self._peer is not None, "the gate opens only after STARTED"
        with contextlib.suppress(OSError):  # it died meanwhile: its exit says how
            wire.send(self._peer, Kind.OPEN)
        return time.monotonic()

    def _close(self) -> None:
        self._closed.set()
        for sock in (self._peer, self._listener):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        if self._peer is not None:
            self._peer.close()
        for link in self._window.iterdir():
            link.unlink()

    def _converse(self) -> None:
        try:
            self._peer, _ = self._listener.accept()
            self._read_until_sealed(self._peer)
        except WireError as error:
            self._tell(Broken(str(error)))
        except OSError as error:
            self._tell(HostFailed(error))

    def _tell(self, event: Event) -> None:
        """Hand an event over; wait for room as long as anybody listens."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=0.1)
                return

    def _read_until_sealed(self, peer: socket.socket) -> None:
        started, config_sha256 = False, None
        while True:
            message = wire.receive_header(peer)
            match message.kind:
                case Kind.STARTED if not started and message.payload_bytes == 0:
                    started = True
                    self._tell(Started(time.monotonic()))
                case Kind.REPORT if started and message.payload_bytes == wire.REPORT.size:
                    self._tell(_read_report(wire.receive_bytes(peer, wire.REPORT.size)))
                case Kind.CONFIG if started and config_sha256 is None:
                    config_sha256 = self._store_config(peer, message.payload_bytes)
                case Kind.WEIGHTS if config_sha256 is not None:
                    sealed = self._store_weights(peer, message.payload_bytes, config_sha256)
                    self._tell(sealed)
                    with contextlib.suppress(OSError):
                        wire.send(peer, Kind.SEALED)
                    return
                case _:
                    raise WireError(f"{message.kind.name} is out of order or has a wrong size")

    def _store_config(self, peer: socket.socket, size: int) -> str:
        if size > wire.CONFIG_CAP_BYTES:
            raise WireError(f"config.json of {size} bytes is over {wire.CONFIG_CAP_BYTES}")
        content = wire.receive_bytes(peer, size)
        path = self._checkpoint / CONFIG_FILE
        path.write_bytes(content)
        path.chmod(0o644)
        return hashlib.sha256(content).hexdigest()

    def _store_weights(self, peer: socket.socket, size: int, config_sha256: str) -> Sealed:
        if size > self._cap_bytes:
            raise WireError(
                f"a checkpoint of {size:,} bytes is over the cap of {self._cap_bytes:,}"
            )
        partial = self._checkpoint / (WEIGHTS_FILE + ".partial")
        try:
            sha256 = _receive_file(peer, size, partial)
            at = time.monotonic()
        except BaseException:
            partial.unlink(missing_ok=True)  # half a checkpoint is only a full disk
            raise
        partial.chmod(0o644)
        partial.replace(self._checkpoint / WEIGHTS_FILE)
        return Sealed(at, sha256, config_sha256, size)


def is_as_sealed(checkpoint: Path, training: Training) -> bool:
    """Whether the files in a checkpoint's folder are, to the byte, what came through the gate."""
    for name, sealed in (
        (CONFIG_FILE, training.config_sha256),
        (WEIGHTS_FILE, training.checkpoint_sha256),
    ):
        with (checkpoint / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sealed:
                return False
    return True


def _receive_file(peer: socket.socket, size: int, path: Path) -> str:
    """Write exactly `size` bytes from the peer to a file; their sha256, taken on their way."""
    digest = hashlib.sha256()
    left = size
    with path.open("wb") as file:
        while left:
            try:
                chunk = peer.recv(min(CHUNK_BYTES, left))
            except ConnectionError as error:
                raise WireError("the connection was reset inside the checkpoint") from error
            if not chunk:
                raise WireError("the connection closed inside the checkpoint")
            digest.update(chunk)
            file.write(chunk)
            left -= len(chunk)
        file.flush()
    return digest.hexdigest()


def _read_report(payload: bytes) -> Report:
    step, tokens, loss, mfu = wire.REPORT.unpack(payload)
    return Report(step, tokens, _finite(loss), _finite(mfu))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
