"""What a model claims: complete, finite, and added up so that anybody gets the same last digit."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from harness import wire
from harness.claim import Refused, await_ready, bits_per_byte, hear, score
from harness.findings import NothingScored, Shard, add_up
from harness.wire import Kind, WireError

ROWS = np.arange(6 * 5, dtype=np.uint16).reshape(6, 5)
BATCH = 2

Reply = Callable[[socket.socket, int], None]


def hear_from(reply: Reply) -> np.ndarray:
    """Hear a model that answers batch after batch with `reply(socket, rows)`."""
    judge, model = socket.socketpair()

    def serve() -> None:
        with model:
            while True:
                try:
                    _, payload = wire.receive(model, cap_bytes=10_000)
                except WireError:
                    return
                with contextlib.suppress(OSError):  # the judge has heard enough and hung up
                    reply(model, wire.ROWS_SHAPE.unpack_from(payload)[0])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return hear(judge, ROWS, BATCH, lambda *_: None)
    finally:
        judge.close()
        thread.join()


def say(value: float, *, extra: int = 0, twice: bool = False) -> Reply:
    def reply(model: socket.socket, rows: int) -> None:
        losses = np.full(rows * 4 + extra, value, dtype=np.float32).tobytes()
        for _ in range(1 + twice):
            wire.send(model, Kind.LOSSES, losses)

    return reply


def test_every_target_has_one_loss() -> None:
    """The control: an honest answer is taken as it is."""
    assert np.array_equal(hear_from(say(2.5)), np.full((6, 4), 2.5, dtype=np.float32))


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        pytest.param(say(1.0, extra=-1), "ANSWER_TOO_SHORT", id="too-few"),
        pytest.param(say(1.0, extra=1), "ANSWER_TOO_LONG", id="too-many"),
        pytest.param(say(1.0, twice=True), "ANSWER_TOO_LONG", id="every-answer-twice"),
        pytest.param(say(-0.5), "LOSSES_NEGATIVE", id="negative"),
        pytest.param(say(math.nan), "LOSSES_NOT_FINITE", id="nan"),
        pytest.param(say(3e38), "LOSSES_TOO_LARGE", id="a-number-that-carries-text"),
        pytest.param(say(math.inf), "LOSSES_NOT_FINITE", id="infinite"),
        pytest.param(
            lambda model, _: wire.send(model, Kind.FAILED, wire.FAILED.pack(5)),
            "FORWARD_FAILED",
            id="says-that-it-failed",
        ),
        pytest.param(
            lambda model, _: wire.send(model, Kind.FAILED, wire.FAILED.pack(99)),
            "UNKNOWN_FAILURE",
            id="fails-in-a-way-nobody-knows",
        ),
    ],
)
def test_what_is_no_claim_is_refused(reply: Reply, failure: str) -> None:
    """NaN compares as neither better nor worse, and a missing row would be a free one."""
    with pytest.raises(Refused, match=failure):
        hear_from(reply)


def test_another_language_is_a_stop() -> None:
    """A judge must not wait for, or believe, what it did not ask for."""
    with pytest.raises(WireError, match="expected LOSSES"):
        hear_from(lambda model, _: wire.send(model, Kind.READY))


def test_it_begins_with_ready_or_a_failure() -> None:
    judge, model = socket.socketpair()
    with judge, model:
        wire.send(model, Kind.READY)
        await_ready(judge)
        wire.send(model, Kind.FAILED, wire.FAILED.pack(2))
        with pytest.raises(Refused, match="BUILD_FAILED"):
            await_ready(judge)
        wire.send(model, Kind.LOSSES)
        with pytest.raises(WireError, match="expected READY"):
            await_ready(judge)


def test_a_receiver_adds_the_score_up_to_the_last_digit() -> None:
    """A bundle's score must not depend on who adds it up, or in which order."""
    draw = np.random.default_rng(7)
    nats = draw.exponential(3.0, (512, 128)).astype(np.float32)
    byte_len = draw.integers(0, 9, (512, 128))
    found = score(nats, byte_len, None)
    sent = json.loads(json.dumps(asdict(found)))
    received = [Shard(**shard) for shard in sent["shards"]]
    draw.shuffle(received)  # type: ignore[arg-type]
    assert add_up(tuple(received)) == found.bpb == sent["bpb"]
    assert len(received) == 16
    exact = math.fsum(nats[byte_len > 0].tolist()) / math.log(2) / int(byte_len.sum())
    assert found.bpb == pytest.approx(exact, rel=1e-12)
    assert found.tokens == int((byte_len > 0).sum())


def test_special_tokens_add_neither_cost_nor_length() -> None:
    """Else a model would be paid for predicting that a document begins."""
    nats = np.array([[math.log(2) * 8, 1e6]], dtype=np.float32)
    assert bits_per_byte(nats, np.array([[4, 0]])) == pytest.approx(2.0)


def test_nothing_to_score_is_an_error_and_no_score() -> None:
    """Zero bits over zero bytes would be the best score in history."""
    with pytest.raises(NothingScored):
        bits_per_byte(np.ones((1, 2), dtype=np.float32), np.zeros((1, 2), dtype=np.int64))
