"""What can be seen of a train container while it runs, by somebody who only looks.

Owns    the shape of a look
Gives   a Glimpse, from the steps that run the container to whoever shows it
Never   of a model's or a judge's container: what those print could carry validation text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One report of train.py about itself, and when it came."""

    train_s: float  # since the gate opened, by the host's clock; the rest is the program's word
    step: int
    tokens: int  # so far
    loss: float | None  # nats a token


def _nothing() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """Ways to look at one train container, from any thread, as long as anybody likes."""

    claims: Callable[[], Sequence[Claim]]  # so far; it grows while it is read
    log_tail: Callable[[], bytes]  # raises EngineError once the container is gone
    sample: Callable[[], Mapping[str, float]] = _nothing  # the last telemetry: fields of a Sample
