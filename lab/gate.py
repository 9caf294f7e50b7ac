"""The host's end of a training run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the host observed of one training run, and what train.py claimed about it."""

    startup_s: float  # "create" to STARTED
    train_s: float | None  # gate opened to checkpoint sealed; None when nothing was sealed
    checkpoint_sha256: str | None
    checkpoint_bytes: int | None
    peak_memory_bytes: int | None  # of the container, by the engine; None when it cannot say
    # Claims of train.py, for people; no decision uses them.
    steps: int | None
    tokens: int | None
    loss: float | None  # nats
    mfu: float | None  # None when the peak of the device is unknown
