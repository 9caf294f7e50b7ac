"""How an experiment can end, and how a step says that it ended early."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from lab.glimpse import Glimpse


class Status(StrEnum):
    """How an experiment ended."""

    MEASURED = "measured"
    REJECTED = "rejected"  # never became code: it broke the contract
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INVALID = (
        "invalid"  # nothing that could be scored was saved, or its claim did not survive the audit
    )
    LOST = "lost"  # the lab's fault
    CONTENDED = "contended"  # somebody else computed on the card
    CONDITIONS = "conditions"  # the card was throttled for too long; run again once
    THROTTLED = "throttled"  # it was again, in the run after that: never judged, and not run again

    @property
    def says_something(self) -> bool:
        """Whether it says anything of the idea; what does not is run again and shown to no agent."""
        return self not in (Status.LOST, Status.CONTENDED, Status.CONDITIONS)


class ExperimentFailed(Exception):
    """This experiment ends here. Caught in one place, where it becomes a Trial."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class StopNow(Exception):
    """The user does not want to wait for the end of this experiment."""


class Watch(Protocol):
    """Who follows an experiment. Each call may raise StopNow; containers are gone when it propagates."""

    def phase(self, name: str, *, cap_s: float) -> None:
        """A phase of at most `cap_s` begins: "start-up", "training", "evaluation", "holdout" or "audit"."""

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        """Still at it; called several times a second."""

    def running(self, glimpse: Glimpse) -> None:
        """The train container runs; whoever wants to show more of it may look. Never raises."""
