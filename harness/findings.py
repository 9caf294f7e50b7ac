"""What the judge finds, as values that travel: the standard library alone, so that the controller reads it too.

Owns    the shape of a score and of an audit, and how a score is added up from its parts
"""

from __future__ import annotations

import math
from dataclasses import dataclass


class NothingScored(ValueError):
    """No scored token carries any text, so there is nothing to divide by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The sums over one block of rows, in their order."""

    nats: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a claim comes to on one split. Lower is better, so absence is None and never zero."""

    bpb: float  # bits per UTF-8 byte, exact byte lengths
    bpb_upstream: float | None  # the original project's counting, `gpu` profile only
    tokens: int  # scored targets: special tokens carry no text
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the controller wants to know of a claim that it doubts."""

    tolerance_nats: float | None  # None: calibrate it in this audit
    holdout: bool  # score the holdout too, by the same protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What a fresh container could reproduce of a claim. Differences are blind minus claimed, in nats."""

    points: int  # blind cuts compared
    mismatches: int  # of them, further off than the tolerance
    mean_difference_nats: float  # of the split where it is largest; positive: it claimed too much
    worst_difference_nats: float  # in magnitude
    order_rows: int  # true rows scored again in another order, every token of them compared
    order_mismatches: int
    order_worst_nats: float
    tolerance_nats: float  # of each difference
    mean_tolerance_nats: float  # of the mean difference
    calibrated: bool  # this very run set the tolerance
    claimed_bpb: float
    blind_bpb: float  # the claim, corrected by what the blind points say
    power: float  # chance that a cheat on 0.05 % of the tokens would have been caught

    @property
    def blind_passed(self) -> bool:
        return self.mismatches == 0 and abs(self.mean_difference_nats) <= self.mean_tolerance_nats

    @property
    def order_passed(self) -> bool:
        return self.order_mismatches == 0

    @property
    def passed(self) -> bool:
        return self.blind_passed and self.order_passed


def add_up(shards: tuple[Shard, ...]) -> float:
    """Bits per byte of shards. `math.fsum` rounds once, so every receiver gets the same last digit.

    Raises:
        NothingScored: they hold no text.
    """
    total_bytes = sum(shard.bytes for shard in shards)
    if total_bytes == 0:
        raise NothingScored("no token of this text has a byte length")
    return math.fsum(shard.nats for shard in shards) / math.log(2) / total_bytes
