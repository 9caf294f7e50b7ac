"""How far apart a few means are, and how sure that is, where the noise too is known from few runs.

Owns    the interval, the test and the power of a weighted sum of means
Takes   means, how many runs stand behind each, and the noise of those runs
Gives   an Estimate
Never   reads a file, or decides what follows

Runs that share one noise give Student's t. Where two hosts have a noise each, the degrees of freedom are
Welch and Satterthwaite's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lab.verdict import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """The mean of some runs, and what it counts for in the sum."""

    weight: float
    mean_bpb: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Means of runs that share a noise."""

    noise: Noise
    means: tuple[Mean, ...]

    @property
    def variance(self) -> float:
        """Of this side's part of the sum."""
        return self.noise.sd_bpb**2 * sum(mean.weight**2 / mean.runs for mean in self.means)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A weighted sum of means."""

    value_bpb: float
    error_bpb: float  # standard error; 0 where the runs show no noise
    df: float  # degrees of freedom behind that error

    @property
    def t(self) -> float:
        if self.error_bpb > 0:
            return self.value_bpb / self.error_bpb
        return math.copysign(math.inf, self.value_bpb) if self.value_bpb else 0.0

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where the true value lies with that confidence, in bpb, both ends given."""
        reach = quantile(self.df, (1 + confidence) / 2) * self.error_bpb
        return self.value_bpb - reach, self.value_bpb + reach

    def p_above(self) -> float:
        """The chance of a value this high or higher if the true one were 0; small speaks for above."""
        from scipy.special import stdtr

        return float(stdtr(self.df, -self.t))

    def p_apart(self) -> float:
        """The chance of a value this far from 0, on either side, if the true one were 0."""
        from scipy.special import stdtr

        return float(2 * stdtr(self.df, -abs(self.t)))


def contrast(*sides: Side) -> Estimate:
    """Add up the weighted means of all sides, whose noises are independent of each other."""
    variances = [side.variance for side in sides]
    total = sum(variances)
    shares = sum(
        variance**2 / side.noise.df for variance, side in zip(variances, sides, strict=True)
    )
    return Estimate(
        value_bpb=sum(mean.weight * mean.mean_bpb for side in sides for mean in side.means),
        error_bpb=math.sqrt(total),
        df=total**2 / shares if shares > 0 else float(sum(side.noise.df for side in sides)),
    )


def quantile(df: float, probability: float) -> float:
    """What a Student's t of so many degrees of freedom stays under with this probability."""
    # 28 MB and a third of a second, so it is imported only where something is asked.
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def power(estimate: Estimate, *, error: float) -> float:
    """The chance that a one-sided test with this `error` would tell the estimate from 0, were it the truth."""
    if estimate.error_bpb == 0:
        return 1.0 if estimate.value_bpb else error
    from scipy.special import nctdtr

    bar = quantile(estimate.df, 1 - error)
    return float(1 - nctdtr(estimate.df, abs(estimate.t), bar))
