"""Keep or discard: the rule, as a pure function of numbers.

Owns    what counts as an improvement
Takes   a score, the best so far and the noise
Gives   a Verdict: one sentence with its numbers
Never   reads a file or a clock
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How much the score moves when only the seed changes."""

    mean_bpb: float
    sd_bpb: float  # sample standard deviation, n - 1
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided about one experiment, and from which numbers."""

    keep: bool
    sentence: str
    best_bpb: float | None  # the score to beat at that time
    gain_bpb: float | None  # best - score, positive is better; None when nothing was measured
    margin_bpb: float | None  # what the gain had to exceed


def measure_noise(scores: Sequence[float]) -> Noise | None:
    """The noise of repeated runs of one file; None from fewer than two, which say nothing of spread."""
    if len(scores) < 2:
        return None
    return Noise(
        mean_bpb=statistics.fmean(scores), sd_bpb=statistics.stdev(scores), runs=len(scores)
    )


def decide(*, val_bpb: float, best_bpb: float, noise: Noise, margin_sd: float) -> Verdict:
    """Keep a score only when it beats the best by more than seeds alone move it."""
    gain = best_bpb - val_bpb
    margin = margin_sd * noise.sd_bpb
    keep = gain > margin
    if keep:
        sentence = (
            f"kept: {gain:.4f} better than {best_bpb:.4f}, beyond the noise margin {margin:.4f}"
        )
    elif gain > 0:
        sentence = f"discarded: {gain:.4f} better than {best_bpb:.4f}, within the noise margin {margin:.4f}"
    else:
        sentence = f"discarded: {-gain:.4f} worse than {best_bpb:.4f}"
    return Verdict(
        keep=keep, sentence=sentence, best_bpb=best_bpb, gain_bpb=gain, margin_bpb=margin
    )


def refuse(reason: str, *, best_bpb: float | None) -> Verdict:
    """The verdict on an experiment that has no score."""
    return Verdict(
        keep=False,
        sentence=f"discarded: {reason}",
        best_bpb=best_bpb,
        gain_bpb=None,
        margin_bpb=None,
    )


def accept_baseline(val_bpb: float) -> Verdict:
    """The verdict on a run of the baseline: nothing to beat, one draw of the noise."""
    return Verdict(
        keep=False,
        sentence=f"baseline: {val_bpb:.4f}",
        best_bpb=None,
        gain_bpb=None,
        margin_bpb=None,
    )
