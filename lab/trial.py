"""One trial: train a candidate in a sealed container, then have its checkpoint judged.

Owns    the order create -> train -> seal -> judge, and what each ending is called
Takes   a train.py, a seed, and an open bench
Gives   a Trial, always: a failed experiment is data
Never   decides whether to keep
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lab.evaluation import Measurement
from lab.gate import Training


class Status(StrEnum):
    """How an experiment ended."""

    MEASURED = "measured"
    REJECTED = "rejected"  # never became code: it broke the contract
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INVALID = "invalid"  # the checkpoint could not be scored, or its losses are no losses
    LOST = "lost"  # the lab's fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was run and what the lab itself observed of it."""

    status: Status
    reason: str  # one sentence; empty when measured
    seed: int | None  # None when nothing was run
    class_id: str | None  # of the hardware fingerprint; scores compare only within one
    total_s: float  # "create" to "judged", host clock
    training: Training | None  # None when the training never started
    measurement: Measurement | None  # None when there is no score

    @property
    def val_bpb(self) -> float | None:
        return self.measurement.val_bpb if self.measurement else None
