"""Keep or discard: the rule, as pure functions of numbers.

Owns    what counts as an improvement
Takes   scores, the best so far, the noise, and what a change costs in lines and memory
Gives   a Verdict: one sentence with its numbers
Never   reads a file or a clock

A first run can only be discarded or ask to be run again. Of a hundred first runs the lowest was lucky,
so what is kept, and the mean that the next candidate must beat, come from re-runs with fresh seeds alone.
The gain must pass a one-sided Student's t test, because the noise too is measured from few runs.

What may be set, and why the defaults are what they are: benchmarks/decision_quality.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How much the score moves when only the seed changes."""

    sd_bpb: float
    df: int  # degrees of freedom behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a user may set.

    An sd here is a standard error of the gain, both means being of few runs. An error is the probability, one-sided
    and above 0, that a change which gains exactly its price passes one test.
    """

    # A first run with so large a gain is worth a re-run. Sds, not a test: it decides nothing, and while the noise
    # is known from three runs alone, a test would miss the large gains that a night begins with.
    screen_sd: float = 1.6

    # There are up to `most_reruns` looks, each with this error.
    confirm_error: float = 0.05

    # After a re-run, a gain of so many sds is worth another; less is discarded.
    hope_sd: float = 0.7

    # A gain of so many noise margins is kept after one re-run. Any other takes two at least, because the mean
    # of one run is a poor bar for all that follow.
    clear_margins: float = 2.0
    most_reruns: int = 3

    # The error where fewer lines or less memory decide a tie; about one sd.
    tie_error: float = 0.16

    # 20 lines are not worth 0.001.
    bpb_per_line: float = 0.00005

    # "Clearly less memory" is at least this share less.
    memory_share: float = 0.1


MOST_SDS = 5.0  # between runs of the same code

# What one change can earn by deleting: a file that is packed into a string must not buy a worse score.
MOST_LINES_EARNED = 40


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
    runs: int  # of the candidate, behind its gain
    gain: float
    rerun: bool  # whether those runs are re-runs

    @property
    def price(self) -> float:
        return self.rule.bpb_per_line * max(self.change.net_lines, -MOST_LINES_EARNED)

    def margin(self, error: float, runs: int | None = None) -> float:
        """What noise alone exceeds with probability `error`, when both means are of few runs."""
        return _student(error, self.noise.df) * self.spread(runs or self.runs)

    def spread(self, runs: int) -> float:
        """The standard error of the gain."""
        return self.noise.sd_bpb * math.sqrt(1 / self.best.runs + 1 / runs)

    def wins_ties(self) -> bool:
        """Whether a tie with the best would be a keep."""
        # Fewer lines win only where what they earn covers the tie's own margin, so that an equal score would do:
        # else deleting one line would open the looser test to any change. A one-line deletion moves the strict
        # test by the price of one line, and that is all it does. Less memory has no price and needs an apparent
        # gain; the host measures it, and nobody can save a tenth of it many times. Both cost all re-runs.
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
        side = "better" if self.gain > 0 else "worse"
        size = f"{abs(self.gain):.4f} {side} than" if self.gain else "equal to"
        over = f" over {self.runs} re-run{'s' * (self.runs > 1)}" if self.rerun else ""
        return Verdict(
            keep=action == "kept",
            confirm=action == "to be confirmed",
            sentence=f"{action}: {size} {self.best.mean_bpb:.4f}{over}{reason}{self.lines()}",
            best_bpb=self.best.mean_bpb,
            gain_bpb=self.gain,
            margin_bpb=margin,
            price_bpb=self.price,
        )

    def discard(self, margin: float) -> Verdict:
        missing = "" if self.gain <= min(self.price, 0.0) else f", not beyond {margin:.4f}"
        return self.verdict("discarded", missing, margin)

    def lines(self) -> str:
        """The price in words; empty when there is none."""
        count = abs(self.change.net_lines)
        if not count:
            return ""
        which = "more" if self.change.net_lines > 0 else "fewer"
        return f", with {count} line{'s' * (count > 1)} {which} ({self.price:+.4f})"


def pool_noise(groups: Sequence[Sequence[float]], prior: Noise | None = None) -> Noise | None:
    """The spread of runs around the mean of their own group; None where nothing was run twice.

    A group is runs of the same code; `noise_groups` says which. A `prior` counts as that many more runs.
    """
    df = prior.df if prior else 0
    squares = prior.df * prior.sd_bpb**2 if prior else 0.0
    for group in groups:
        if len(group) > 1:
            df += len(group) - 1
            squares += (len(group) - 1) * statistics.variance(group)
    return Noise(sd_bpb=math.sqrt(squares / df), df=df) if df else None


def noise_groups(
    baseline: Sequence[float],
    candidates: Sequence[Sequence[float]],
    prior: Noise | None = None,
) -> list[Sequence[float]]:
    """The groups for `pool_noise`, from all runs of each candidate in the order they were made.

    Re-runs that lie further apart than MOST_SDS of what is known without them are a divergence and no noise: one
    would hide every later gain. Re-runs that agree to the last digit have fixed their own seed.
    """
    usual = pool_noise([baseline], prior)
    reruns = [runs[1:] for runs in candidates]
    return [baseline, *(runs for runs in reruns if _is_usual(runs, usual))]


def _is_usual(runs: Sequence[float], usual: Noise | None) -> bool:
    if len(runs) < 2 or usual is None or usual.sd_bpb == 0.0:
        return True
    return 0.0 < statistics.stdev(runs) <= MOST_SDS * usual.sd_bpb


def sd_interval(noise: Noise, confidence: float = 0.95) -> tuple[float, float]:
    """Where the true sd lies with that confidence, in bpb, when the noise is normal."""
    # The chi-square value that is exceeded with a given probability.
    from scipy.special import chdtri

    tail = (1 - confidence) / 2
    low, high = (float(chdtri(noise.df, p)) for p in (tail, 1 - tail))
    return (
        noise.sd_bpb * math.sqrt(noise.df / low),
        noise.sd_bpb * math.sqrt(noise.df / high),
    )


def screen(rule: Rule, *, val_bpb: float, best: Bar, noise: Noise, change: Change) -> Verdict:
    """The verdict on a candidate's first run: discarded, or to be confirmed; never kept."""
    it = _Comparison(rule, best, noise, change, 1, best.mean_bpb - val_bpb, rerun=False)
    margin = it.price + rule.screen_sd * it.spread(1)
    if it.gain > margin:
        return it.verdict("to be confirmed", f", beyond {margin:.4f}", margin)
    tie = it.price + it.margin(rule.tie_error, rule.most_reruns)
    if it.wins_ties() and it.gain >= tie:
        return it.verdict("to be confirmed", f", perhaps a tie{_memory(it)}", tie)
    return it.discard(margin)


def settle(
    rule: Rule, *, reruns: Sequence[float], best: Bar, noise: Noise, change: Change
) -> Verdict:
    """The verdict on a candidate's re-runs: kept, discarded, or to be confirmed by one more.

    The new best is the mean of these re-runs: `Bar(mean_bpb=fmean(reruns), runs=len(reruns), ...)`.
    """
    gain = best.mean_bpb - statistics.fmean(reruns)
    it = _Comparison(rule, best, noise, change, len(reruns), gain, rerun=True)
    margin = it.price + it.margin(rule.confirm_error)
    tie = it.price + it.margin(rule.tie_error)
    last = it.runs >= rule.most_reruns
    clear = gain - it.price > rule.clear_margins * (margin - it.price)
    tied = it.wins_ties() and gain >= tie
    if gain > margin and (clear or last or it.runs > 1):
        return it.verdict("kept", f", beyond {margin:.4f}", margin)
    if last and tied:
        return it.verdict("kept", f", a tie{_memory(it)}", tie)
    if not last and (tied or gain > it.price + rule.hope_sd * it.spread(it.runs)):
        return it.verdict("to be confirmed", ", not yet decided", margin)
    return it.discard(margin)


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


def note_replay(val_bpb: float) -> Verdict:
    """The verdict on one run of another lab's code: nothing follows from it alone."""
    return replace(accept_baseline(val_bpb), sentence=f"replay: {val_bpb:.4f}")


def _memory(it: _Comparison) -> str:
    saved = it.saved_memory()
    return f", with {saved:.0%} less memory" if saved is not None else ""


def _student(error: float, df: int) -> float:
    """What a Student's t of so many degrees of freedom exceeds with this probability."""
    # 28 MB and a third of a second, so it is imported only where something is decided.
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - error))
