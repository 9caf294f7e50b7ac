"""Whether another lab's gain is here too: the verdict of a replay, as pure functions of numbers.

Owns    what "reproduced" means
Takes   what the sender measured, and what was measured here
Gives   a Reproduction: one sentence with its numbers
Never   reads a file or runs anything

The claim is a gain: the mean of the sender's baseline minus the mean of the experiment's re-runs. A first run is
in neither, so the claim is not the luckiest of a hundred draws. What is asked is whether more than KEPT_SHARE of
that gain is here, and the answer is a one-sided test at ERROR:

    reproduced       more than half of the claimed gain is here, with 95 % confidence
    not reproduced   less than half of it is here, with 95 % confidence
    cannot tell yet  neither

Half lies as far from the whole gain as from none, so a true claim and an empty one are found out equally soon. A test
of "no worse than the claim" alone would reward few runs: what is never measured is never worse.

In the same class scores compare, so the mean here is held against the point halfway between the sender's baseline and
the sender's claim, with one noise pooled over both hosts. In another class nothing absolute is compared: the gain
over a baseline that was run here is held against half of the sender's, with a noise for each host.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lab.contrast import Estimate, Mean, Side, contrast, power
from lab.verdict import Noise, pool_noise

KEPT_SHARE = 0.5
ERROR = 0.05
POWER = 0.8  # a promise of "so many more runs would" holds this often, if the gain is what it looks like
MOST_MORE = 30
ANY_NUMBER = 100_000  # of further runs: what is left is the error of the claim itself

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
CANNOT_TELL = "cannot tell yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Scores of the baseline and of an experiment on one host."""

    baseline: tuple[float, ...]  # may be empty where nothing here is compared with it
    best: tuple[float, ...]  # of the sender: the re-runs alone
    noise: Noise | None  # of that host; None where nothing was run twice

    @property
    def gain_bpb(self) -> float:
        return statistics.fmean(self.baseline) - statistics.fmean(self.best)

    def gain(self) -> Estimate | None:
        """The gain with its error; None without a noise, or without runs of both."""
        if not self.baseline or not self.best or self.noise is None:
            return None
        return contrast(Side(noise=self.noise, means=_gain_of(self, 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What a replay came to."""

    outcome: str  # REPRODUCED, NOT_REPRODUCED or CANNOT_TELL
    sentence: str
    same_class: bool
    gain_claimed_bpb: float
    gain_here_bpb: (
        float | None
    )  # over the sender's baseline in the same class, else over the one here
    noise: Noise | None  # pooled over both hosts in the same class, else of the runs here
    beyond_half: (
        Estimate | None
    )  # the gain here minus half of the claimed one; None: no noise is known
    more_runs: (
        int | None
    )  # that would probably decide; None: more than MOST_MORE, or none is needed

    @property
    def share(self) -> float | None:
        """Of the claimed gain, what is here."""
        return None if self.gain_here_bpb is None else self.gain_here_bpb / self.gain_claimed_bpb


def judge_scores(claim: Runs, here: Sequence[float]) -> Reproduction:
    """The same class: `here` are runs of the experiment, and scores compare.

    The claim has a positive gain, and `here` at least one run.
    """
    noise = noise_within([here], claim.noise)
    mean, claimed = statistics.fmean(here), statistics.fmean(claim.best)
    expect = partial(_beyond_halfway, claim, noise, here) if _is_noise(noise) else None
    side = "above" if mean > claimed else "under"
    return _reproduction(
        claim,
        expect,
        noise=noise,
        gain_bpb=statistics.fmean(claim.baseline) - mean,
        same_class=True,
        found=f"{_count(here)} here average {mean:.4f}, {abs(mean - claimed):.4f} {side} the "
        f"claimed {claimed:.4f}",
    )


def judge_gain(claim: Runs, here: Runs) -> Reproduction:
    """Another class: the gain here, over a baseline that was run here, against the sender's gain.

    The claim has a positive gain, and `here` runs of both.
    """
    known = _is_noise(claim.noise) and _is_noise(here.noise)
    expect = partial(_beyond_half, claim, here) if known else None
    gain = here.gain()
    spread = ""
    if gain is not None and gain.error_bpb > 0:
        low, high = gain.interval()
        spread = f" ({low:.4f} to {high:.4f} with 95 % confidence)"
    return _reproduction(
        claim,
        expect,
        noise=here.noise,
        gain_bpb=here.gain_bpb,
        same_class=False,
        found=f"the gain here is {here.gain_bpb:.4f}{spread}, {here.gain_bpb / claim.gain_bpb:.0%} of "
        f"the claimed {claim.gain_bpb:.4f}, from {_count(here.best)} of each",
    )


def noise_within(groups: Sequence[Sequence[float]], prior: Noise | None) -> Noise | None:
    """The spread of runs of the same code on one host; runs that fixed their own seed say nothing of it."""
    return pool_noise([_spread_of(scores) for scores in groups], prior)


def not_judged(claim: Runs, reason: str, *, same_class: bool, failed: bool = False) -> Reproduction:
    """There is no gain to test: the runs here were not all made, or they have no score."""
    outcome = NOT_REPRODUCED if failed else CANNOT_TELL
    return Reproduction(
        outcome=outcome,
        sentence=f"{outcome}: {reason}.",
        same_class=same_class,
        gain_claimed_bpb=claim.gain_bpb,
        gain_here_bpb=None,
        noise=None,
        beyond_half=None,
        more_runs=None,
    )


def gain_difference(first: Runs, second: Runs) -> Estimate | None:
    """The first host's gain minus the second's, each over its own baseline; None where one has none."""
    sides = [
        Side(noise=runs.noise, means=_gain_of(runs, weight))
        for runs, weight in ((first, 1.0), (second, -1.0))
        if runs.noise is not None and runs.baseline and runs.best
    ]
    return contrast(*sides) if len(sides) == len((first, second)) else None


def score_difference(first: Runs, second: Runs) -> Estimate | None:
    """The first best minus the second, of one class, with one pooled noise; None where none is known."""
    known = [noise for noise in (first.noise, second.noise) if noise is not None]
    noise = _pool(*known) if len(known) > 1 else next(iter(known), None)
    if noise is None or not first.best or not second.best:
        return None
    return contrast(Side(noise=noise, means=(_mean(1.0, first.best), _mean(-1.0, second.best))))


def _pool(first: Noise, second: Noise) -> Noise:
    df = first.df + second.df
    squares = first.df * first.sd_bpb**2 + second.df * second.sd_bpb**2
    return Noise(sd_bpb=math.sqrt(squares / df), df=df)


def _beyond_halfway(
    claim: Runs, noise: Noise | None, here: Sequence[float], extra: int
) -> Estimate:
    """How far the mean here lies under the point that keeps KEPT_SHARE of the gain; as if of `extra` more runs."""
    assert noise is not None, "asked only where a noise is known"
    return contrast(
        Side(
            noise=replace(noise, df=noise.df + extra),
            means=(
                _mean(1 - KEPT_SHARE, claim.baseline),
                _mean(KEPT_SHARE, claim.best),
                _mean(-1.0, here, extra),
            ),
        )
    )


def _beyond_half(claim: Runs, here: Runs, extra: int) -> Estimate:
    """The gain here minus KEPT_SHARE of the sender's; as if of `extra` more runs of each here."""
    assert claim.noise is not None and here.noise is not None, "asked only where both are known"  # noqa: PT018
    return contrast(
        Side(
            noise=replace(here.noise, df=here.noise.df + 2 * extra),
            means=_gain_of(here, 1.0, extra),
        ),
        Side(noise=claim.noise, means=_gain_of(claim, -KEPT_SHARE)),
    )


def _gain_of(runs: Runs, weight: float, extra: int = 0) -> tuple[Mean, Mean]:
    return _mean(weight, runs.baseline, extra), _mean(-weight, runs.best, extra)


def _mean(weight: float, scores: Sequence[float], extra: int = 0) -> Mean:
    return Mean(weight=weight, mean_bpb=statistics.fmean(scores), runs=len(scores) + extra)


def _reproduction(
    claim: Runs,
    expect: Callable[[int], Estimate] | None,
    *,
    noise: Noise | None,
    gain_bpb: float,
    same_class: bool,
    found: str,
) -> Reproduction:
    """The verdict on the estimate of so many more runs as are made, which is none."""
    estimate = expect(0) if expect else None
    outcome = _outcome(estimate)
    more = _more_runs(expect) if expect and outcome == CANNOT_TELL else None
    return Reproduction(
        outcome=outcome,
        sentence=f"{outcome}: {_because(outcome, expect, more, claim, each=not same_class)}; {found}.",
        same_class=same_class,
        gain_claimed_bpb=claim.gain_bpb,
        gain_here_bpb=gain_bpb,
        noise=noise,
        beyond_half=estimate,
        more_runs=more,
    )


def _outcome(estimate: Estimate | None) -> str:
    if estimate is None:
        return CANNOT_TELL
    p = estimate.p_above()
    if p < ERROR:
        return REPRODUCED
    return NOT_REPRODUCED if p > 1 - ERROR else CANNOT_TELL


def _because(
    outcome: str,
    expect: Callable[[int], Estimate] | None,
    more: int | None,
    claim: Runs,
    *,
    each: bool,
) -> str:
    if outcome != CANNOT_TELL:
        side = "more" if outcome == REPRODUCED else "less"
        return f"{side} than half of the claimed gain of {claim.gain_bpb:.4f} is here, with 95 % confidence"
    if expect is None:
        return "no noise is known, because no two runs of the same code differ"
    of_each = " of each" if each else ""
    if more is None and power(expect(ANY_NUMBER), error=ERROR) < POWER:
        return "no number of runs here would, because what was claimed rests on too few runs"
    if more is None:
        return f"more than {MOST_MORE} more runs{of_each} would be needed"
    return f"{more} more run{'s' * (more > 1)}{of_each} would"


def _more_runs(expect: Callable[[int], Estimate]) -> int | None:
    """The fewest further runs that would decide with POWER, were the estimate the truth."""
    for extra in range(1, MOST_MORE + 1):
        if power(expect(extra), error=ERROR) >= POWER:
            return extra
    return None


def _spread_of(scores: Sequence[float]) -> Sequence[float]:
    """Runs that agree to the last digit have fixed their own seed, and show no noise."""
    return scores if len(set(scores)) > 1 else ()


def _is_noise(noise: Noise | None) -> bool:
    return noise is not None and noise.sd_bpb > 0


def _count(scores: Sequence[float]) -> str:
    return f"{len(scores)} run{'s' * (len(scores) > 1)}"
