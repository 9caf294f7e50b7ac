"""The one schema that the controller and the containers share: where things are, and what is said.

Every message is a fixed header and a payload whose size is known before it is read; nothing is ever
unpickled. There are three conversations, each over a unix socket:

    gate      train container -> controller   STARTED  OPEN  REPORT*  CONFIG  WEIGHTS  SEALED
    tribune   judge           -> controller   PROGRESS*  JUDGEMENT  (DISMISS or AUDIT)
                                              then, if audited: (PROGRESS*  JUDGEMENT)  PROGRESS*  AUDITED
    bench     model container <-> judge       READY  (ROWS  LOSSES)* (CUTS  LOGITS)*  or FAILED

Two model containers are heard, one after the other: A on the bench, B on the blind bench. Nothing leads
from one to the other but the judge.

The standard library alone: the controller has no torch.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import NamedTuple

# Inside the containers.
TRAIN_FILE = "/work/train.py"
TRAIN_DATA = "/data/train"  # empty until the gate opens
JUDGE_DATA = "/data/judge"  # mounted in the judge alone
CHECKPOINT = "/checkpoint"  # config.json, model.safetensors
GATE_SOCKET = "/gate/gate.sock"
TRIBUNE_SOCKET = "/tribune/tribune.sock"
BENCH_SOCKET = "/bench/bench.sock"  # a model container's; in the judge, that of A
BLIND_SOCKET = "/blind/bench.sock"  # in the judge, that of B

# The environment that a container is given.
PROFILE_VARIABLE = "NIGHTLAB_PROFILE"
SEED_VARIABLE = "NIGHTLAB_SEED"

CONFIG_CAP_BYTES = 64 * 1024
JUDGEMENT_CAP_BYTES = 1024 * 1024

MAGIC = b"NLAB"
HEADER = struct.Struct("<4sIQ")  # magic, kind, payload bytes
REPORT = struct.Struct("<QQdd")  # step, training tokens so far, loss in nats, MFU or NaN
PROGRESS = struct.Struct("<QQ")  # rows scored, rows in all
ROWS_SHAPE = struct.Struct("<II")  # rows, tokens a row (T + 1); then uint16 tokens, row by row
CUTS_SHAPE = struct.Struct("<II")  # rows, tokens a row (T); then uint16 tokens, then uint16 cuts
FAILED = struct.Struct("<I")  # a Failure


class Kind(IntEnum):
    """What a message is. Numbers are never reused."""

    STARTED = 1
    OPEN = 2
    REPORT = 3
    CONFIG = 4  # JSON, UTF-8
    WEIGHTS = 5  # safetensors
    SEALED = 6
    PROGRESS = 10
    JUDGEMENT = 11  # JSON, UTF-8
    DISMISS = 12  # nobody doubts this claim
    AUDIT = 13  # JSON, UTF-8
    AUDITED = 14  # JSON, UTF-8
    READY = 20
    ROWS = 21
    LOSSES = 22  # float32 nats, (rows, T), row by row
    FAILED = 23
    CUTS = 24
    LOGITS = 25  # float32, (rows, V), at the cut of each row


class Failure(IntEnum):
    """Why a model container could not score. A class and no text: text could carry validation data."""

    TRAIN_FILE_BROKEN = 1
    BUILD_FAILED = 2
    CHECKPOINT_UNREADABLE = 3
    CHECKPOINT_MISMATCH = 4
    FORWARD_FAILED = 5
    LOGITS_WRONG_SHAPE = 6
    OUT_OF_MEMORY = 7


class WireError(Exception):
    """The other side spoke something else, too much, or stopped in the middle."""


class Message(NamedTuple):
    """One header, its payload still unread."""

    kind: Kind
    payload_bytes: int


def send(sock: socket.socket, kind: Kind, payload: bytes | memoryview = b"") -> None:
    """Send one message; the payload is not copied."""
    sock.sendall(HEADER.pack(MAGIC, kind, len(payload)))
    if len(payload):
        sock.sendall(payload)


def receive_header(sock: socket.socket) -> Message:
    """Read one header.

    Raises:
        WireError: not a header, or the other side closed.
    """
    magic, kind, payload_bytes = HEADER.unpack(receive_bytes(sock, HEADER.size))
    if magic != MAGIC:
        raise WireError("this is not a Nightlab message")
    try:
        return Message(Kind(kind), payload_bytes)
    except ValueError as error:
        raise WireError(f"unknown message kind {kind}") from error


def receive(sock: socket.socket, cap_bytes: int) -> tuple[Kind, bytes]:
    """Read one whole message of at most `cap_bytes` of payload.

    Raises:
        WireError: malformed, too large, or the other side closed.
    """
    message = receive_header(sock)
    if message.payload_bytes > cap_bytes:
        raise WireError(f"{message.kind.name} of {message.payload_bytes} bytes is over {cap_bytes}")
    return message.kind, receive_bytes(sock, message.payload_bytes)


def receive_bytes(sock: socket.socket, count: int) -> bytes:
    """Read exactly `count` bytes.

    Raises:
        WireError: the other side closed before that.
    """
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        try:
            received = sock.recv_into(view)
        except ConnectionError as error:
            raise WireError("the connection was reset") from error
        if received == 0:
            raise WireError("the other side closed the connection")
        view = view[received:]
    return bytes(buffer)
