"""The host's end of a training run, spoken to by a peer over the real socket."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import wire
from harness.wire import Kind
from lab.gate import Broken, Event, Gate, HostFailed, Report, Sealed, Started

CAP = 10_000_000


class Peer:
    """The container's side, honest or not."""

    def __init__(self, gate_socket: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(gate_socket))

    def say(self, kind: Kind, payload: bytes = b"") -> None:
        wire.send(self.sock, kind, payload)

    def hear(self) -> Kind:
        return wire.receive(self.sock, cap_bytes=0)[0]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("rows-128.npy", "tokenizer.json"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def gate(tmp_path: Path, shards: Path) -> Iterator[Gate]:
    (tmp_path / "gate").mkdir()
    with Gate.open(
        tmp_path / "gate" / "gate.sock",
        shards=shards,
        window=tmp_path / "window",
        checkpoint=tmp_path / "checkpoint",
        cap=CAP,
    ) as gate:
        yield gate


@pytest.fixture
def peer(gate: Gate, tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "gate" / "gate.sock")
    yield peer
    peer.sock.close()


def next_event(gate: Gate) -> Event:
    event = gate.next_event(5.0)
    assert event is not None, "nothing came through the gate within 5 s"
    return event


def test_the_data_appears_only_when_the_gate_opens(
    gate: Gate, peer: Peer, tmp_path: Path, shards: Path
) -> None:
    """Start-up is free, so it must not see a byte of the training text."""
    peer.say(Kind.STARTED)
    assert isinstance(next_event(gate), Started)
    assert list((tmp_path / "window").iterdir()) == []
    gate.let_in()
    assert peer.hear() is Kind.OPEN
    for shard in shards.iterdir():
        assert (tmp_path / "window" / shard.name).samefile(shard)


def test_a_checkpoint_is_stored_and_hashed_on_its_way(
    gate: Gate, peer: Peer, tmp_path: Path
) -> None:
    """What is judged later must be exactly what was sealed when the clock stopped."""
    weights = os.urandom(3_000_001)
    peer.say(Kind.STARTED)
    next_event(gate)
    gate.let_in()
    peer.hear()
    peer.say(Kind.CONFIG, b'{"depth": 2}')
    peer.say(Kind.WEIGHTS, weights)
    assert peer.hear() is Kind.SEALED
    sealed = next_event(gate)
    assert isinstance(sealed, Sealed)
    assert sealed.sha256 == hashlib.sha256(weights).hexdigest()
    assert sealed.size_bytes == len(weights)
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == weights
    assert (tmp_path / "checkpoint" / "config.json").read_bytes() == b'{"depth": 2}'


def test_a_second_checkpoint_is_not_read(gate: Gate, peer: Peer, tmp_path: Path) -> None:
    """Only the weights at the seal count; work after it must not reach the judge."""
    peer.say(Kind.STARTED)
    next_event(gate)
    gate.let_in()
    peer.hear()
    for weights in (b"first", b"second"):
        peer.say(Kind.CONFIG, b"{}")
        peer.say(Kind.WEIGHTS, weights)
    assert isinstance(next_event(gate), Sealed)
    assert gate.next_event(0.5) is None
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == b"first"


def test_reports_arrive_as_claims(gate: Gate, peer: Peer) -> None:
    """A NaN must become an absence: JSON has none, and it compares with nothing."""
    peer.say(Kind.STARTED)
    next_event(gate)
    peer.say(Kind.REPORT, wire.REPORT.pack(7, 9000, 4.5, float("nan")))
    assert next_event(gate) == Report(step=7, tokens=9000, loss=4.5, mfu=None)


HEADER = wire.HEADER


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="another-protocol"),
        pytest.param(HEADER.pack(b"NLAB", 99, 0), id="unknown-kind"),
        pytest.param(HEADER.pack(b"NLAB", Kind.REPORT, 32) + bytes(32), id="report-before-start"),
        pytest.param(HEADER.pack(b"NLAB", Kind.WEIGHTS, 4) + b"evil", id="weights-before-start"),
        pytest.param(HEADER.pack(b"NLAB", Kind.STARTED, 0) * 2, id="started-twice"),
        pytest.param(
            HEADER.pack(b"NLAB", Kind.STARTED, 0) + HEADER.pack(b"NLAB", Kind.WEIGHTS, 4) + b"evil",
            id="weights-without-config",
        ),
        pytest.param(
            HEADER.pack(b"NLAB", Kind.STARTED, 0) + HEADER.pack(b"NLAB", Kind.CONFIG, 2**40),
            id="endless-config",
        ),
        pytest.param(
            HEADER.pack(b"NLAB", Kind.STARTED, 0)
            + HEADER.pack(b"NLAB", Kind.CONFIG, 2)
            + b"{}"
            + HEADER.pack(b"NLAB", Kind.WEIGHTS, CAP + 1),
            id="checkpoint-over-the-cap",
        ),
        pytest.param(
            HEADER.pack(b"NLAB", Kind.STARTED, 0) + HEADER.pack(b"NLAB", Kind.REPORT, 2**33),
            id="endless-report",
        ),
    ],
)
def test_whatever_is_out_of_order_or_too_large_ends_the_conversation(
    gate: Gate, peer: Peer, words: bytes, tmp_path: Path
) -> None:
    """The peer is the agent's code: no order, size or number of it may be believed."""
    peer.sock.sendall(words)
    events = [next_event(gate)]
    while isinstance(events[-1], Started):
        events.append(next_event(gate))
    assert isinstance(events[-1], Broken)
    assert not (tmp_path / "checkpoint" / "model.safetensors").exists()


def test_a_checkpoint_cut_short_is_no_checkpoint(gate: Gate, peer: Peer, tmp_path: Path) -> None:
    """A container killed at the deadline leaves half a file, which must never be scored."""
    peer.say(Kind.STARTED)
    next_event(gate)
    gate.let_in()
    peer.hear()
    peer.say(Kind.CONFIG, b"{}")
    peer.sock.sendall(HEADER.pack(b"NLAB", Kind.WEIGHTS, 1000) + b"half")
    peer.sock.close()
    assert isinstance(next_event(gate), Broken)
    assert not (tmp_path / "checkpoint" / "model.safetensors").exists()


def test_a_host_that_cannot_store_says_so(gate: Gate, peer: Peer, tmp_path: Path) -> None:
    """A full disk is the lab's fault, and must not be counted against the idea."""
    (tmp_path / "checkpoint" / "model.safetensors.partial").symlink_to("/dev/full")
    peer.say(Kind.STARTED)
    next_event(gate)
    gate.let_in()
    peer.hear()
    peer.say(Kind.CONFIG, b"{}")
    peer.say(Kind.WEIGHTS, bytes(100_000))
    event = next_event(gate)
    assert isinstance(event, HostFailed)
    assert "No space" in str(event.error)


def test_a_flood_of_reports_waits_in_the_container(gate: Gate, peer: Peer) -> None:
    """A train.py that reports without end must not fill the controller's memory."""
    peer.say(Kind.STARTED)
    next_event(gate)
    report = HEADER.pack(b"NLAB", Kind.REPORT, 32) + wire.REPORT.pack(1, 1, 1.0, 1.0)
    peer.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            peer.sock.sendall(report * 1000)
    assert gate._events.qsize() <= 256


def test_a_long_path_is_no_obstacle(tmp_path: Path, shards: Path) -> None:
    """A unix socket's address has 107 bytes; a user's folder may be deeper than that."""
    deep = tmp_path / ("d" * 120) / "gate"
    deep.mkdir(parents=True)
    with Gate.open(
        deep / "gate.sock",
        shards=shards,
        window=tmp_path / "w",
        checkpoint=tmp_path / "c",
        cap=CAP,
    ):
        assert (deep / "gate.sock").is_socket()
    assert not (deep / "gate.sock").exists()


def test_what_a_killed_night_left_in_the_window_is_gone(tmp_path: Path, shards: Path) -> None:
    """Data that is there before the gate opens would be training time that nobody counts."""
    for place in ("window", "checkpoint"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "rows-128.npy").write_bytes(b"left")
    with Gate.open(
        tmp_path / "gate.sock",
        shards=shards,
        window=tmp_path / "window",
        checkpoint=tmp_path / "checkpoint",
        cap=CAP,
    ):
        assert list((tmp_path / "window").iterdir()) == []
        assert list((tmp_path / "checkpoint").iterdir()) == []
