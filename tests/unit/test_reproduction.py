"""What "reproduced" means, on pinned cases: worked out by hand, or by scipy's own tests."""

from __future__ import annotations

import math
import statistics

import pytest
from scipy import stats

from lab.contrast import Mean, Side, contrast, power
from lab.reproduction import (
    CANNOT_TELL,
    MOST_MORE,
    NOT_REPRODUCED,
    REPRODUCED,
    Runs,
    gain_difference,
    judge_gain,
    judge_scores,
    noise_within,
    score_difference,
)
from lab.verdict import Noise

CLAIM = Runs(
    baseline=(1.902, 1.898, 1.900), best=(1.861, 1.859), noise=Noise(sd_bpb=0.002, df=10)
)  # a gain of 0.040, halfway at 1.880
A, B = (1.90, 1.93, 1.91, 1.92), (1.85, 1.87, 1.83)


def side(scores: tuple[float, ...], weight: float) -> Side:
    noise = Noise(sd_bpb=statistics.stdev(scores), df=len(scores) - 1)
    return Side(
        noise=noise,
        means=(Mean(weight=weight, mean_bpb=statistics.fmean(scores), runs=len(scores)),),
    )


def test_two_hosts_with_a_noise_each_give_welchs_test() -> None:
    """The textbook's answer, computed by somebody else."""
    ours = contrast(side(A, 1.0), side(B, -1.0))
    theirs = stats.ttest_ind(A, B, equal_var=False)
    assert ours.t == pytest.approx(theirs.statistic)
    assert ours.df == pytest.approx(theirs.df)
    assert ours.p_apart() == pytest.approx(theirs.pvalue)
    assert ours.interval() == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_one_shared_noise_gives_students_test() -> None:
    """Runs of one class are of one noise, and more of them say more about it."""
    shared = noise_within([A, B], None)
    assert shared is not None
    means = tuple(
        Mean(weight=weight, mean_bpb=statistics.fmean(scores), runs=len(scores))
        for scores, weight in ((A, 1.0), (B, -1.0))
    )
    ours = contrast(Side(noise=shared, means=means))
    theirs = stats.ttest_ind(A, B, alternative="greater")
    assert (ours.t, ours.df) == (pytest.approx(theirs.statistic), 5)
    assert ours.p_above() == pytest.approx(theirs.pvalue)


def test_the_halfway_point_is_held_against_the_mean_here_by_hand() -> None:
    """1.880 - 1.870 with a pooled variance of (10*4e-6 + 2*1e-6)/12 and 1/3 + 1/12 + 1/8 of it."""
    found = judge_scores(CLAIM, [1.869, 1.870, 1.871])
    assert found.beyond_half is not None
    assert found.beyond_half.value_bpb == pytest.approx(0.010)
    assert found.beyond_half.error_bpb == pytest.approx(
        math.sqrt((10 * 4e-6 + 2 * 1e-6) / 12 * (1 / 3 + 0.25 / 3 + 0.25 / 2))
    )
    assert found.beyond_half.df == 12


def test_half_of_the_senders_gain_is_held_against_the_gain_here_by_hand() -> None:
    """0.025 - 0.020, with a quarter of the sender's variance and all of ours."""
    here = Runs(
        baseline=(2.51, 2.49),
        best=(2.484, 2.466),
        noise=noise_within([(2.51, 2.49), (2.484, 2.466)], None),
    )
    found = judge_gain(CLAIM, here)
    ours = (2e-4 + 1.62e-4) / 2  # mean of both variances
    theirs = 0.25 * 4e-6 * (1 / 3 + 1 / 2)
    assert found.beyond_half is not None
    assert found.beyond_half.value_bpb == pytest.approx(0.005)
    assert found.beyond_half.error_bpb == pytest.approx(math.sqrt(ours + theirs))
    assert found.beyond_half.df == pytest.approx(
        (ours + theirs) ** 2 / (ours**2 / 2 + theirs**2 / 10)
    )


@pytest.mark.parametrize(
    ("mean", "outcome"),
    [
        pytest.param(1.860, REPRODUCED, id="the-claim-itself"),
        pytest.param(1.840, REPRODUCED, id="better-than-claimed"),
        pytest.param(1.872, REPRODUCED, id="most-of-it"),
        pytest.param(1.880, CANNOT_TELL, id="half-of-it"),
        pytest.param(1.890, NOT_REPRODUCED, id="a-quarter-of-it"),
        pytest.param(1.900, NOT_REPRODUCED, id="none-of-it"),
        pytest.param(1.950, NOT_REPRODUCED, id="worse-than-the-baseline"),
    ],
)
def test_the_verdict_follows_what_is_left_of_the_gain(mean: float, outcome: str) -> None:
    """Not whether the score is a little worse: of two honest labs one always is."""
    here = [mean - 0.001, mean, mean + 0.001]
    assert judge_scores(CLAIM, here).outcome == outcome
    shifted = Runs(
        baseline=(2.899, 2.900, 2.901),
        best=tuple(score + 1.0 for score in here),
        noise=Noise(sd_bpb=0.001, df=4),
    )
    assert judge_gain(CLAIM, shifted).outcome == outcome


def test_few_noisy_runs_prove_nothing() -> None:
    """A test of "no worse than the claim" would call this reproduced."""
    claim = Runs(baseline=(1.91, 1.89), best=(1.87, 1.85), noise=Noise(sd_bpb=0.02, df=2))
    found = judge_scores(claim, [1.84, 1.90])
    assert found.outcome == CANNOT_TELL and found.beyond_half is not None
    assert found.beyond_half.value_bpb > 0


def test_so_many_more_runs_are_the_fewest_that_would_decide() -> None:
    """Asked for too few, a user waits in vain; for too many, too long."""
    here = Runs(
        baseline=(1.91, 1.93), best=(1.880, 1.900), noise=Noise(sd_bpb=math.sqrt(2e-4), df=2)
    )
    found = judge_gain(CLAIM, here)
    assert found.outcome == CANNOT_TELL and found.more_runs is not None
    assert f"{found.more_runs} more runs of each would" in found.sentence

    def chance(extra: int) -> float:
        """By scipy's noncentral t, for means of so many more runs."""
        ours, theirs = 2e-4 * 2 / (2 + extra), 0.25 * 4e-6 * (1 / 3 + 1 / 2)
        df = (ours + theirs) ** 2 / (ours**2 / (2 + 2 * extra) + theirs**2 / 10)
        return float(stats.nct.sf(stats.t.isf(0.05, df), df, 0.01 / math.sqrt(ours + theirs)))

    assert chance(found.more_runs) >= 0.8 > chance(found.more_runs - 1)


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        pytest.param(500, f"more than {MOST_MORE} more runs would be needed", id="near-half"),
        pytest.param(1, "rests on too few runs", id="the-claim-is-weak"),
    ],
)
def test_a_hopeless_case_is_said_to_be_one(behind: int, words: str) -> None:
    """A number that is only the bound of our search would send somebody to run for a week."""
    claim = Runs(baseline=(1.9,) * behind, best=(1.86,) * behind, noise=Noise(sd_bpb=0.02, df=2000))
    found = judge_scores(claim, [1.856, 1.876, 1.896])
    assert found.outcome == CANNOT_TELL and found.more_runs is None
    assert words in found.sentence


def test_runs_that_fixed_their_seed_show_no_noise_and_decide_nothing() -> None:
    """Three equal scores are one run, and a spread of 0 would make every difference certain."""
    claim = Runs(baseline=(1.9, 1.9), best=(1.86, 1.86), noise=Noise(sd_bpb=0.0, df=2))
    found = judge_scores(claim, [1.87, 1.87, 1.87])
    assert (found.outcome, found.beyond_half) == (CANNOT_TELL, None)
    assert "no two runs of the same code differ" in found.sentence
    without = Runs(baseline=claim.baseline, best=claim.best, noise=None)
    assert judge_scores(without, [1.87]).outcome == CANNOT_TELL
    assert noise_within([(1.9, 1.9, 1.9)], None) is None


def test_the_power_is_that_of_the_noncentral_t() -> None:
    """Known from scipy.stats, which is another implementation's interface."""
    estimate = contrast(side(A, 1.0), side(B, -1.0))
    expected = stats.nct.sf(stats.t.isf(0.05, estimate.df), estimate.df, estimate.t)
    assert power(estimate, error=0.05) == pytest.approx(float(expected))


def test_hosts_are_compared_by_their_gains_and_in_one_class_by_their_scores() -> None:
    """A difference is one host's minus the other's, and unknown where one has no noise."""
    other = Runs(baseline=(2.4, 2.402), best=(2.37,), noise=Noise(sd_bpb=0.004, df=4))
    gains = gain_difference(CLAIM, other)
    assert gains is not None
    assert gains.value_bpb == pytest.approx(0.040 - 0.031)
    assert gains.error_bpb == pytest.approx(math.sqrt(4e-6 * (1 / 3 + 1 / 2) + 1.6e-5 * 1.5))
    scores = score_difference(CLAIM, other)
    assert scores is not None
    pooled = (10 * 4e-6 + 4 * 1.6e-5) / 14
    assert (scores.value_bpb, scores.df) == pytest.approx((1.86 - 2.37, 14))
    assert scores.error_bpb == pytest.approx(math.sqrt(pooled * (1 / 2 + 1)))
    nothing = Runs(baseline=(), best=(), noise=None)
    assert gain_difference(CLAIM, nothing) is None
    assert score_difference(CLAIM, nothing) is None
