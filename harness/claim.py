"""A model's claim: a loss for every target of every row, and what that comes to in bits per byte.

Owns    what a complete claim is, and how it is added up
Takes   rows, the byte length of every token, a connected model container
Gives   the losses as they were claimed, and a Score
Never   believes them: `harness.audit` sees whether they can be reproduced without the answers
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness import wire
from harness.findings import Score, Shard, add_up
from harness.wire import Kind, WireError

# Cross-entropy is never negative; float32 may miss zero by this much.
ROUNDING_NATS = 1e-4

# No model that learned anything is so wrong; and a claim is a number that is shown, so it must not carry text.
MOST_NATS = 1000.0

# A score is kept as this many partial sums, so that a receiver adds it up again to the last digit.
SHARDS = 16

Tokens = npt.NDArray[np.uint16]
Nats = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]


class Refused(Exception):
    """What the model said is no claim; the message is the failure's name."""


def bits_per_byte(nats: Nats, byte_len: Lengths) -> float:
    """Average cost of the scored text, in bits per UTF-8 byte.

    Shapes, with B rows of T tokens:
        nats      (B, T)  cross-entropy of each target token, natural log; summed in float64
        byte_len  (B, T)  UTF-8 length of each target token, 0 for special tokens

    Special tokens carry no text, so they add neither cost nor length.

    Raises:
        NothingScored: byte_len is zero everywhere, there is no text to divide by.
    """
    return add_up(shards_of(nats, byte_len))


def shards_of(nats: Nats, byte_len: Lengths) -> tuple[Shard, ...]:
    """The sums of up to SHARDS blocks of rows, in float64."""
    blocks = zip(
        np.array_split(np.where(byte_len > 0, nats, np.float32(0)), SHARDS),
        np.array_split(byte_len, SHARDS),
        strict=True,
    )
    return tuple(
        Shard(nats=float(some_nats.sum(dtype=np.float64)), bytes=int(some_bytes.sum()))
        for some_nats, some_bytes in blocks
        if len(some_bytes)
    )


def score(nats: Nats, byte_len: Lengths, upstream_len: Lengths | None) -> Score:
    """Add a claim up, by exact byte lengths and by those of the original project."""
    shards = shards_of(nats, byte_len)
    return Score(
        bpb=add_up(shards),
        bpb_upstream=None if upstream_len is None else bits_per_byte(nats, upstream_len),
        tokens=int(np.count_nonzero(byte_len)),
        shards=shards,
    )


def await_ready(model: socket.socket) -> None:
    """Wait until the model container has loaded its checkpoint; the host's clock bounds the wait.

    Raises:
        Refused: it could not.
        WireError: it spoke something else.
    """
    kind, payload = wire.receive(model, cap_bytes=wire.FAILED.size)
    if kind is Kind.FAILED:
        raise Refused(_failure_name(payload))
    if kind is not Kind.READY:
        raise WireError(f"expected READY, got {kind.name}")


def hear(model: socket.socket, rows: Tokens, batch_rows: int, progress: Progress) -> Nats:
    """Send every row once, in order, and collect a loss for every target.

    Shapes, with N rows of T + 1 tokens:
        rows    (N, T + 1)  uint16; the targets are rows[:, 1:]
        return  (N, T)      float32, nats

    Raises:
        Refused: the model failed, or what it said is not one loss from 0 to MOST_NATS for every target.
        WireError: it spoke something else or stopped in the middle.
    """
    count, row_len = rows.shape
    losses = np.empty((count, row_len - 1), dtype=np.float32)
    for first in range(0, count, batch_rows):
        batch = np.ascontiguousarray(rows[first : first + batch_rows])
        wire.send(model, Kind.ROWS, wire.ROWS_SHAPE.pack(*batch.shape) + batch.tobytes())
        nats = answer(model, Kind.LOSSES, (len(batch), row_len - 1))
        if not np.isfinite(nats).all():
            raise Refused("LOSSES_NOT_FINITE")
        if float(nats.min()) < -ROUNDING_NATS:
            raise Refused("LOSSES_NEGATIVE")
        if float(nats.max()) > MOST_NATS:
            raise Refused("LOSSES_TOO_LARGE")
        losses[first : first + len(batch)] = nats
        progress(first + len(batch), count)
    if select.select([model], [], [], 0)[0] and model.recv(1, socket.MSG_PEEK):
        raise Refused("ANSWER_TOO_LONG")  # more answers than questions
    return losses


def answer(model: socket.socket, wanted: Kind, shape: tuple[int, int]) -> Nats:
    """One answer of exactly this shape, float32.

    Raises:
        Refused: the model failed, or answered with more or less than was asked.
        WireError: it spoke something else or stopped in the middle.
    """
    size = shape[0] * shape[1] * np.dtype(np.float32).itemsize
    message = wire.receive_header(model)
    if message.kind is Kind.FAILED and message.payload_bytes == wire.FAILED.size:
        raise Refused(_failure_name(wire.receive_bytes(model, wire.FAILED.size)))
    if message.kind is not wanted:
        raise WireError(f"expected {wanted.name}, got {message.kind.name}")
    if message.payload_bytes != size:
        raise Refused("ANSWER_TOO_LONG" if message.payload_bytes > size else "ANSWER_TOO_SHORT")
    payload = wire.receive_bytes(model, size)
    return np.frombuffer(payload, dtype=np.float32).reshape(shape)


def _failure_name(payload: bytes) -> str:
    try:
        return wire.Failure(wire.FAILED.unpack(payload)[0]).name
    except (ValueError, struct.error):
        return "UNKNOWN_FAILURE"
