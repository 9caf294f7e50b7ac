"""The judge: the only process that knows the targets and what each token is worth in bytes.

    python -m harness.judge

It makes a socket on the bench, waits for a model container there, sends it every validation row in a
fixed order, and adds up the losses that come back. Its findings go to the controller and nowhere else.
It runs none of the agent's code and needs no torch.

The blind audit has its place in `hear`: the claim of container A is complete when it returns, and a
fresh container B can then be heard on rows that the judge has cut.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness import wire
from harness.profiles import PROFILES, Profile
from harness.wire import Kind, WireError

# Cross-entropy is never negative; float32 may miss zero by this much.
ROUNDING_NATS = 1e-4

Tokens = npt.NDArray[np.uint16]
Nats = npt.NDArray[np.float32]


class NothingScored(ValueError):
    """No scored token carries any text, so there is nothing to divide by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the judge found. Either every number is there, or `failure` says why not."""

    failure: str | None = None  # a wire.Failure's name, or one of the judge's own words
    val_bpb: float | None = None
    val_bpb_upstream: float | None = None
    val_nats: float | None = None
    val_bytes: int | None = None
    val_tokens: int | None = None


class Refused(Exception):
    """The model's losses are not losses; the message is the failure's name."""


def bits_per_byte(nats: Nats, byte_len: npt.NDArray[np.int64]) -> float:
    """Average cost of the scored text, in bits per UTF-8 byte.

    Shapes, with B rows of T tokens:
        nats      (B, T)  cross-entropy of each target token, natural log; summed in float64
        byte_len  (B, T)  UTF-8 length of each target token, 0 for special tokens

    Special tokens carry no text, so they add neither cost nor length.

    Raises:
        NothingScored: byte_len is zero everywhere, there is no text to divide by.
    """
    total_bytes = int(byte_len.sum())
    if total_bytes == 0:
        raise NothingScored("no token of this text has a byte length")
    total_nats = float(nats[byte_len > 0].sum(dtype=np.float64))
    return total_nats / math.log(2) / total_bytes


def hear(model: socket.socket, rows: Tokens, batch_rows: int, tribune: socket.socket) -> Nats:
    """Send every row to the model and collect its losses.

    Shapes, with N rows of T + 1 tokens:
        rows    (N, T + 1)  uint16; the targets are rows[:, 1:]
        return  (N, T)      float32, nats

    Raises:
        Refused: the model failed, or its losses are not finite or are negative.
        WireError: it spoke something else or stopped in the middle.
    """
    count, row_len = rows.shape
    losses = np.empty((count, row_len - 1), dtype=np.float32)
    for first in range(0, count, batch_rows):
        batch = np.ascontiguousarray(rows[first : first + batch_rows])
        losses[first : first + len(batch)] = _ask(model, batch)
        wire.send(tribune, Kind.PROGRESS, wire.PROGRESS.pack(first + len(batch), count))
    return losses


def _ask(model: socket.socket, batch: Tokens) -> Nats:
    rows, row_len = batch.shape
    wire.send(model, Kind.ROWS, wire.ROWS_SHAPE.pack(rows, row_len) + batch.tobytes())
    size = rows * (row_len - 1) * np.dtype(np.float32).itemsize
    kind, payload = wire.receive(model, cap_bytes=size)
    if kind is Kind.FAILED:
        raise Refused(_failure_name(payload))
    if kind is not Kind.LOSSES or len(payload) != size:
        raise WireError(f"expected {size} bytes of losses, got {len(payload)} of {kind.name}")
    nats = np.frombuffer(payload, dtype=np.float32).reshape(rows, row_len - 1)
    if not np.isfinite(nats).all():
        raise Refused("LOSSES_NOT_FINITE")
    if float(nats.min()) < -ROUNDING_NATS:
        raise Refused("LOSSES_NEGATIVE")
    return nats


def _failure_name(payload: bytes) -> str:
    try:
        return wire.Failure(wire.FAILED.unpack(payload)[0]).name
    except (ValueError, struct.error):
        return "UNKNOWN_FAILURE"


def judge(profile: Profile, data: Path, model: socket.socket, tribune: socket.socket) -> Judgement:
    """Score one model on the validation rows, in their order on the disk."""
    rows: Tokens = np.load(data / "val.npy", mmap_mode="r", allow_pickle=False)
    byte_len = _lengths(data / "byte_lengths.npy", rows)
    try:
        kind, payload = wire.receive(model, cap_bytes=wire.FAILED.size)
        if kind is Kind.FAILED:
            return Judgement(failure=_failure_name(payload))
        if kind is not Kind.READY:
            raise WireError(f"expected READY, got {kind.name}")
        nats = hear(model, rows, profile.evaluation_batch_rows, tribune)
    except Refused as refusal:
        return Judgement(failure=str(refusal))
    except WireError:
        return Judgement(failure="MODEL_STOPPED")
    upstream = None
    if profile.dataset == "climbmix":
        upstream = bits_per_byte(nats, _lengths(data / "upstream_byte_lengths.npy", rows))
    return Judgement(
        val_bpb=bits_per_byte(nats, byte_len),
        val_bpb_upstream=upstream,
        val_nats=float(nats[byte_len > 0].sum(dtype=np.float64)),
        val_bytes=int(byte_len.sum()),
        val_tokens=int(np.count_nonzero(byte_len)),
    )


def _lengths(path: Path, rows: Tokens) -> npt.NDArray[np.int64]:
    """Byte length of every target: (V,) looked up by (N, T)."""
    table = np.load(path, allow_pickle=False).astype(np.int64)
    lengths: npt.NDArray[np.int64] = table[rows[:, 1:]]
    return lengths


def main() -> None:
    """Hear one model, report, and end."""
    profile = PROFILES[os.environ[wire.PROFILE_VARIABLE]]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tribune,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bench,
    ):
        tribune.connect(wire.TRIBUNE_SOCKET)
        bench.bind(wire.BENCH_SOCKET)
        bench.listen(1)
        # The host's clock bounds this wait: it ends the container at the evaluation cap.
        model, _ = bench.accept()
        with model:
            judgement = judge(profile, Path(wire.JUDGE_DATA), model, tribune)
        wire.send(tribune, Kind.JUDGEMENT, json.dumps(asdict(judgement)).encode())


if __name__ == "__main__":
    main()
