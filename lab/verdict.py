"""Keep or discard: the rule, as pure functions of numbers.

Owns    what counts as an improvement
Takes   scores, the best so far, the noise, and what a change costs in lines and memory
Gives   a Verdict: one sentence with its numbers
Never   reads a file or a clock

A first run can only be discarded or ask to be run again. Of a hundred first runs the lowest was lucky,
so what is kept, and the mean that the next candidate must beat, come from re-runs with fresh seeds alone.
A gain is held against a one-sided Student's t test, because the noise is itself measured from few runs.

What may be set, and why the defaults are what they are: benchmarks/decision_quality.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How much the score moves when only the seed changes."""

    sd_bpb: float
    df: int  # degrees of freedom behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a user may set. The errors are one-sided probabilities of a test, between 0 and 0.5."""

    # A first run is worth a re-run when less than this share of equal changes would look as good.
    screen_error: float = 0.1

    # Each look at the re-runs lets this share of equal changes through; there are up to `most_reruns` looks.
    confirm_error: float = 0.02

    # The same for a tie, which fewer lines or less memory then decide. One standard error.
    tie_error: float = 0.16

    # A gain of at least this share of its margin is worth one more run; less is discarded.
    undecided_share: float = 0.5

    # A keep needs this many: the mean of one run would be a poor bar for all that follow.
    least_reruns: int = 2
    most_reruns: int = 3

    # 20 lines are not worth 0.001.
    bpb_per_line: float = 0.00005

    # "Clearly less memory" is at least this share less.
    memory_share: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What must be beaten: at first the baseline's runs, then the re-runs of what was kept last."""

    mean_bpb: float
    runs: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a candidate costs."""

    net_lines: int  # code lines added minus removed, against the best
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided about one experiment, and from which numbers."""

    keep: bool
    confirm: bool  # nothing is decided before another run with a fresh seed
    sentence: str
    best_bpb: float | None  # the mean to beat at that time
    gain_bpb: (
        float | None
    )  # best - score, of re-runs their mean; positive is better; None without a score
    margin_bpb: float | None  # what the gain had to exceed, the price included
    price_bpb: float | None  # of the lines; negative where lines were removed


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One candidate against the best, in bpb."""

    rule: Rule
    best: Bar
    noise: Noise
    change: Change
    runs: int  # of the candidate, so far
    gain: float

    @property
    def price(self) -> float:
        return self.rule.bpb_per_line * self.change.net_lines

    def margin(self, error: float, runs: int | None = None) -> float:
        """What noise alone exceeds with probability `error`, when both means are of few runs."""
        spread = math.sqrt(1 / self.best.runs + 1 / (runs or self.runs))
        return _student(error, self.noise.df) * self.noise.sd_bpb * spread

    def wins_ties(self) -> bool:
        """Whether a tie with the best would be a keep.

        Fewer lines win it only when what they earn is more than the tie's own margin, so that a score
        which is exactly equal would do; else deleting one line would be a cheap way from the strict test
        to the loose one. Less memory has no price, but it is the host that measures it, and nobody can save
        a tenth of it many times. Either costs as many re-runs as a candidate may have.
        """
        margin = self.margin(self.rule.tie_error, self.rule.most_reruns)
        shorter = self.change.net_lines < 0 and -self.price >= margin
        return shorter or (self.change.net_lines <= 0 and self.saved_memory() is not None)

    def saved_memory(self) -> float | None:
        """The share of the best's memory that it does without; None unless clearly less, and known."""
        before, after = self.best.memory_bytes, self.change.memory_bytes
        if not before or after is None or after > (1 - self.rule.memory_share) * before:
            return None
        return 1 - after / before

    def verdict(self, action: str, reason: str, margin: float) -> Verdict:
        side = "better" if self.gain >= 0 else "worse"
        return Verdict(
            keep=action == "kept",
            confirm=action == "to be confirmed",
            sentence=f"{action}: {abs(self.gain):.4f} {side} than {self.best.mean_bpb:.4f}{reason}",
            best_bpb=self.best.mean_bpb,
            gain_bpb=self.gain,
            margin_bpb=margin,
            price_bpb=self.price,
        )

    def lines(self) -> str:
        """The price in words; empty when there is none."""
        count = abs(self.change.net_lines)
        if not count:
            return ""
        which = "more" if self.change.net_lines > 0 else "fewer"
        return f", with {count} line{'s' * (count > 1)} {which} ({self.price:+.4f})"


def pool_noise(groups: Sequence[Sequence[float]], prior: Noise | None = None) -> Noise | None:
    """The spread of runs around the mean of their own group; None where nothing was run twice.

    A group is runs of the same code: all runs of the baseline, and the *re-runs* of each candidate, those of
    the one being settled included. The first run of a candidate stays out: it was chosen for being low, so
    it lies far from its re-runs, and the noise would look larger than it is.
    """
    df = prior.df if prior else 0
    squares = prior.df * prior.sd_bpb**2 if prior else 0.0
    for group in groups:
        if len(group) > 1:
            df += len(group) - 1
            squares += (len(group) - 1) * statistics.variance(group)
    return Noise(sd_bpb=math.sqrt(squares / df), df=df) if df else None


def noise_groups(
    baseline: Sequence[float], candidates: Sequence[Sequence[float]]
) -> list[Sequence[float]]:
    """The groups for `pool_noise`, from all runs of each candidate in the order they were made."""
    return [baseline, *(runs[1:] for runs in candidates)]


def sd_interval(noise: Noise, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true sd lies with that confidence, in bpb, when the noise is normal."""
    from scipy.special import (
        chdtri,
    )  # the chi-square value that is exceeded with a given probability

    tail = (1 - confidence) / 2
    low, high = (float(chdtri(noise.df, p)) for p in (tail, 1 - tail))
    return (
        noise.sd_bpb * math.sqrt(noise.df / low),
        noise.sd_bpb * math.sqrt(noise.df / high),
    )


def screen(rule: Rule, *, val_bpb: float, best: Bar, noise: Noise, change: Change) -> Verdict:
    """The verdict on a candidate's first run: discarded, or to be confirmed; never kept."""
    it = _Comparison(rule, best, noise, change, 1, best.mean_bpb - val_bpb)
    margin = it.price + it.margin(rule.screen_error)
    if it.gain > margin:
        return it.verdict("to be confirmed", f", beyond {margin:.4f}{it.lines()}", margin)
    if it.wins_ties():
        tie = it.price + it.margin(rule.tie_error, rule.most_reruns)
        if it.gain >= tie:
            return it.verdict("to be confirmed", f", a tie{it.lines()}{_memory(it)}", tie)
    return it.verdict("discarded", _why_not(it, margin), margin)


def settle(
    rule: Rule, *, reruns: Sequence[float], best: Bar, noise: Noise, change: Change
) -> Verdict:
    """The verdict on a candidate's re-runs: kept, discarded, or to be confirmed by one more.

    The new best is the mean of these re-runs: `Bar(mean_bpb=fmean(reruns), runs=len(reruns), ...)`.
    """
    mean = statistics.fmean(reruns)
    it = _Comparison(rule, best, noise, change, len(reruns), best.mean_bpb - mean)
    over = f" over {it.runs} re-run{'s' * (it.runs > 1)}"
    margin = it.price + it.margin(rule.confirm_error)
    tie = it.price + it.margin(rule.tie_error)
    tied = it.wins_ties() and it.gain >= tie
    if it.runs < rule.most_reruns:
        if it.gain > margin and it.runs >= rule.least_reruns:
            return it.verdict("kept", f"{over}, beyond {margin:.4f}{it.lines()}", margin)
        share = rule.undecided_share
        if tied or it.gain - it.price > share * (margin - it.price):
            return it.verdict("to be confirmed", f"{over}, not yet decided{it.lines()}", margin)
        return it.verdict("discarded", over + _why_not(it, margin), margin)
    if it.gain > margin:
        return it.verdict("kept", f"{over}, beyond {margin:.4f}{it.lines()}", margin)
    if tied:
        return it.verdict("kept", f"{over}, a tie{it.lines()}{_memory(it)}", tie)
    return it.verdict("discarded", over + _why_not(it, margin), margin)


def refuse(reason: str, *, best_bpb: float | None) -> Verdict:
    """The verdict on an experiment that has no score."""
    return Verdict(
        keep=False,
        confirm=False,
        sentence=f"discarded: {reason}",
        best_bpb=best_bpb,
        gain_bpb=None,
        margin_bpb=None,
        price_bpb=None,
    )


def accept_baseline(val_bpb: float) -> Verdict:
    """The verdict on a run of the baseline: nothing to beat, one draw of the noise."""
    return Verdict(
        keep=False,
        confirm=False,
        sentence=f"baseline: {val_bpb:.4f}",
        best_bpb=None,
        gain_bpb=None,
        margin_bpb=None,
        price_bpb=None,
    )


def _why_not(it: _Comparison, margin: float) -> str:
    """What was missing, after "0.0012 better than 0.9979"."""
    if it.gain <= min(it.price, 0.0):
        return it.lines()
    return f", not beyond {margin:.4f}{it.lines()}"


def _memory(it: _Comparison) -> str:
    saved = it.saved_memory()
    return f", with {saved:.0%} less memory" if saved is not None else ""


def _student(error: float, df: int) -> float:
    """What a Student's t of so many degrees of freedom exceeds with this probability."""
    from scipy.special import stdtrit  # 28 MB and half a second, so only where something is decided

    return float(stdtrit(df, 1 - error))
