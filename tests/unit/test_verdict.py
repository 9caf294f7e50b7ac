"""The rule that decides what is kept."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.verdict import (
    MOST_LINES_EARNED,
    Bar,
    Change,
    Noise,
    Rule,
    Verdict,
    accept_baseline,
    noise_groups,
    pool_noise,
    refuse,
    screen,
    sd_interval,
    settle,
)

RULE = Rule()
BEST = Bar(mean_bpb=0.99, runs=3, memory_bytes=45 * 10**9)
NOISE = Noise(sd_bpb=0.001, df=8)
SAME = Change(net_lines=0, memory_bytes=45 * 10**9)

scores = st.floats(min_value=0.9, max_value=1.1)
sds = st.floats(min_value=0.0, max_value=0.01)
lines = st.integers(min_value=-200, max_value=200)


def settled(
    *gains: float, noise: Noise = NOISE, best: Bar = BEST, change: Change = SAME
) -> Verdict:
    """The verdict on re-runs that scored so much better than the best."""
    reruns = [best.mean_bpb - gain for gain in gains]
    return settle(RULE, reruns=reruns, best=best, noise=noise, change=change)


def screened(gain: float, *, noise: Noise = NOISE, change: Change = SAME) -> Verdict:
    """The verdict on a first run that scored so much better than the best."""
    return screen(RULE, val_bpb=BEST.mean_bpb - gain, best=BEST, noise=noise, change=change)


def shorter(count: int) -> Change:
    return Change(net_lines=-count, memory_bytes=None)


@settings(deadline=None)  # the first decision imports scipy
@given(val_bpb=scores, sd_bpb=sds, df=st.integers(1, 50), net_lines=lines, runs=st.integers(1, 9))
def test_a_first_run_is_never_kept(
    val_bpb: float, sd_bpb: float, df: int, net_lines: int, runs: int
) -> None:
    """The lowest of a hundred first runs is lucky; what it scored is no evidence."""
    verdict = screen(
        RULE,
        val_bpb=val_bpb,
        best=Bar(mean_bpb=1.0, runs=runs, memory_bytes=None),
        noise=Noise(sd_bpb=sd_bpb, df=df),
        change=Change(net_lines=net_lines, memory_bytes=None),
    )
    assert not verdict.keep


@settings(deadline=None)  # the first decision imports scipy
@given(
    reruns=st.lists(scores, min_size=1, max_size=6),
    sd_bpb=sds,
    df=st.integers(1, 50),
    net_lines=lines,
    memory=st.integers(1, 100),
)
def test_re_runs_end(
    reruns: list[float], sd_bpb: float, df: int, net_lines: int, memory: int
) -> None:
    """A candidate that always asked for one more run would take the night."""
    verdict = settle(
        RULE,
        reruns=reruns,
        best=Bar(mean_bpb=1.0, runs=2, memory_bytes=50),
        noise=Noise(sd_bpb=sd_bpb, df=df),
        change=Change(net_lines=net_lines, memory_bytes=memory),
    )
    assert not (verdict.keep and verdict.confirm)
    if len(reruns) >= RULE.most_reruns:
        assert not verdict.confirm
    if verdict.keep:
        assert verdict.gain_bpb is not None and verdict.margin_bpb is not None
        assert verdict.gain_bpb >= verdict.margin_bpb


@settings(deadline=None)  # the first decision imports scipy
@given(
    gains=st.lists(st.floats(-0.01, 0.01), min_size=3, max_size=3),
    better=st.floats(0, 0.01),
    net_lines=lines,
)
def test_a_better_score_is_never_worse_for_a_candidate(
    gains: list[float], better: float, net_lines: int
) -> None:
    """A rule that punished a gain anywhere could not be reasoned about."""
    change = Change(net_lines=net_lines, memory_bytes=None)
    before = settled(*gains, change=change)
    after = settled(*(gain + better for gain in gains), change=change)
    assert after.keep >= before.keep


@pytest.mark.parametrize(
    ("gain", "confirm"),
    [
        pytest.param(0.0030, True, id="clear-gain"),
        pytest.param(0.0010, False, id="gain-within-noise"),
        pytest.param(0.0, False, id="tie"),
        pytest.param(-0.0050, False, id="worse"),
    ],
)
def test_an_apparent_win_is_run_again(gain: float, confirm: bool) -> None:
    """Re-runs cost six minutes each; most ideas do not deserve one."""
    verdict = screened(gain)
    assert verdict.confirm is confirm
    assert verdict.gain_bpb == pytest.approx(gain)


@pytest.mark.parametrize(
    ("gains", "keep", "confirm"),
    [
        pytest.param([0.0090], True, False, id="a-large-gain-needs-one"),
        pytest.param([0.0030], False, True, id="a-gain-needs-two"),
        pytest.param([0.0030, 0.0028], True, False, id="a-gain-that-repeats"),
        pytest.param([0.0030, -0.0005], False, True, id="undecided"),
        pytest.param([0.0030, -0.0005, 0.0002], False, False, id="undecided-to-the-end"),
        pytest.param([-0.0002], False, False, id="was-luck"),
    ],
)
def test_re_runs_decide(gains: list[float], keep: bool, confirm: bool) -> None:
    """One re-run is usual; more are for what is large enough to matter and too small to be sure of."""
    verdict = settled(*gains)
    assert (verdict.keep, verdict.confirm) == (keep, confirm)


def test_the_margin_is_that_of_a_t_test_of_two_means() -> None:
    """Both means are of few runs, and so is the noise; 1.8595 is the 95 % point of t with 8 degrees."""
    expected = 1.8595 * 0.001 * math.sqrt(1 / 3 + 1 / 2)
    assert settled(0.01, 0.01).margin_bpb == pytest.approx(expected, rel=1e-4)


def test_a_noise_from_few_runs_asks_for_more() -> None:
    """Three runs of the baseline may lie close together by chance."""
    few = settled(0.01, 0.01, noise=Noise(sd_bpb=0.001, df=2)).margin_bpb
    many = settled(0.01, 0.01, noise=Noise(sd_bpb=0.001, df=40)).margin_bpb
    assert few is not None and many is not None
    assert few > 1.5 * many


def test_the_test_errs_as_often_as_it_says() -> None:
    """5 % of equal changes, with sd and both means drawn as a night draws them, and not more."""
    rng = random.Random(1)
    kept = 0
    for _ in range(2000):
        baseline = [rng.gauss(1.0, 0.001) for _ in range(3)]
        reruns = [rng.gauss(1.0, 0.001) for _ in range(RULE.most_reruns)]
        noise = pool_noise([baseline, reruns])
        assert noise
        best = Bar(mean_bpb=statistics.fmean(baseline), runs=3, memory_bytes=None)
        kept += settle(RULE, reruns=reruns, best=best, noise=noise, change=SAME).keep
    assert 0.035 < kept / 2000 < 0.065


@settings(deadline=None)  # the first decision imports scipy
@given(gain=st.floats(-0.004, 0.004), net_lines=st.integers(-15, 60))
def test_lines_move_the_margin_by_their_price_and_no_more(gain: float, net_lines: int) -> None:
    """Deleting a line must not be a way around the noise: it is worth 0.00005, and that is all."""
    price = RULE.bpb_per_line * net_lines
    priced = settled(*[gain + price] * 3, change=Change(net_lines=net_lines, memory_bytes=None))
    plain = settled(*[gain] * 3, change=Change(net_lines=0, memory_bytes=None))
    assert plain.margin_bpb is not None
    if abs(gain - plain.margin_bpb) > 1e-9:  # there, rounding decides
        assert priced.keep is plain.keep
    assert priced.price_bpb == pytest.approx(price)


def test_a_gain_has_to_pay_for_its_lines() -> None:
    """0.0020 for 30 lines: 0.0015 of it is their price, and the rest is noise."""
    assert settled(0.0020, 0.0020, 0.0020).keep
    assert not settled(*[0.0020] * 3, change=Change(net_lines=30, memory_bytes=None)).keep


@pytest.mark.parametrize(
    ("count", "gain", "keep"),
    [
        pytest.param(30, 0.0, True, id="equal-score-many-lines"),
        pytest.param(30, -0.0003, True, id="worse-by-less-than-they-earn"),
        pytest.param(30, -0.0016, False, id="worse-by-more-than-they-earn"),
        pytest.param(1, 0.0, False, id="one-line"),
        pytest.param(1, 0.0010, False, id="one-line-and-luck"),
    ],
)
def test_an_equal_score_with_clearly_less_code_is_a_keep(
    count: int, gain: float, keep: bool
) -> None:
    """A night that only ever adds ends in a file that nobody can read."""
    assert settled(gain, gain, gain, change=shorter(count)).keep is keep


def test_a_tie_costs_every_re_run() -> None:
    """What is kept for being no worse needs as much evidence as a night will give."""
    change = shorter(25)
    assert screened(0.0, change=change).confirm
    for runs in range(1, RULE.most_reruns):
        assert settled(*[0.0] * runs, change=change).confirm
    assert settled(*[0.0] * RULE.most_reruns, change=change).keep


@pytest.mark.parametrize(
    ("memory", "net_lines", "keep"),
    [
        pytest.param(30, 0, True, id="a-third-less"),
        pytest.param(44, 0, False, id="hardly-less"),
        pytest.param(30, 1, False, id="less-for-a-line"),
        pytest.param(None, 0, False, id="unknown"),
    ],
)
def test_a_tie_goes_to_clearly_less_memory(memory: int | None, net_lines: int, keep: bool) -> None:
    """A likely gain within the noise is worth keeping when it also makes room."""
    memory_bytes = None if memory is None else memory * 10**9
    change = Change(net_lines=net_lines, memory_bytes=memory_bytes)
    assert settled(0.0011, 0.0011, 0.0011, change=change).keep is keep


def test_an_unknown_memory_of_the_best_decides_nothing() -> None:
    """None is absence, and absence is not less."""
    best = Bar(mean_bpb=0.99, runs=3, memory_bytes=None)
    change = Change(net_lines=0, memory_bytes=1)
    assert not settled(0.0011, 0.0011, 0.0011, best=best, change=change).keep


@pytest.mark.parametrize(
    ("gain", "net_lines", "keep"),
    [
        pytest.param(0.00001, 0, True, id="any-gain"),
        pytest.param(0.0, 0, False, id="none"),
        pytest.param(0.0, -1, True, id="none-for-less-code"),
        pytest.param(0.00004, 1, False, id="less-than-its-line"),
    ],
)
def test_without_noise_any_gain_beyond_its_price_counts(
    gain: float, net_lines: int, keep: bool
) -> None:
    """Runs that repeat to the last digit have an sd of zero, which must divide nothing."""
    exact = Noise(sd_bpb=0.0, df=2)
    change = Change(net_lines=net_lines, memory_bytes=None)
    assert screened(gain, noise=exact, change=change).confirm is keep
    assert settled(gain, noise=exact, change=change).keep is keep


def test_what_is_not_a_number_is_never_kept() -> None:
    """The judge refuses it before; a comparison turned round must not let it in."""
    assert not screened(math.nan).confirm
    verdict = settled(math.nan)
    assert not verdict.keep and not verdict.confirm


def test_a_verdict_says_its_numbers() -> None:
    """A person must be able to check a decision from its sentence alone."""
    verdict = settled(0.0035, 0.0031, change=Change(net_lines=4, memory_bytes=None))
    assert verdict.sentence == (
        "kept: 0.0033 better than 0.9900 over 2 re-runs, beyond 0.0019, with 4 lines more (+0.0002)"
    )
    assert settled(-0.0012).sentence == "discarded: 0.0012 worse than 0.9900 over 1 re-run"
    assert screened(0.0010).sentence == "discarded: 0.0010 better than 0.9900, not beyond 0.0018"


@settings(deadline=None)  # the first decision imports scipy
@given(gains=st.lists(st.floats(-0.02, 0.02), min_size=1, max_size=4), net_lines=lines, sd_bpb=sds)
def test_a_sentence_says_what_was_decided(
    gains: list[float], net_lines: int, sd_bpb: float
) -> None:
    """The word at its front is what people read, and what the record says must be the same."""
    change = Change(net_lines=net_lines, memory_bytes=None)
    for verdict in (
        settled(*gains, noise=Noise(sd_bpb=sd_bpb, df=3), change=change),
        screened(gains[0], noise=Noise(sd_bpb=sd_bpb, df=3), change=change),
    ):
        word = "kept" if verdict.keep else "to be confirmed" if verdict.confirm else "discarded"
        assert verdict.sentence.startswith(f"{word}: ")
        assert "\n" not in verdict.sentence and len(verdict.sentence) < 160


def test_a_failed_experiment_has_no_gain() -> None:
    """A zero would be the best gain or score in history; absence is None."""
    verdict = refuse("crashed: exit code 1", best_bpb=1.85)
    assert not verdict.keep and not verdict.confirm
    assert verdict.gain_bpb is None and verdict.margin_bpb is None and verdict.price_bpb is None


def test_a_baseline_is_neither_kept_nor_confirmed() -> None:
    """It is what a night starts from, and its own runs say how noisy it is."""
    verdict = accept_baseline(0.9979)
    assert not verdict.keep and not verdict.confirm
    assert verdict.sentence == "baseline: 0.9979"


def test_one_run_says_nothing_of_noise() -> None:
    """A spread of zero from one run would keep every lucky draw."""
    assert pool_noise([]) is None
    assert pool_noise([[1.85], [1.80]]) is None
    noise = pool_noise([[1.84, 1.85, 1.86]])
    assert noise is not None
    assert noise.sd_bpb == pytest.approx(0.01)
    assert noise.df == 2


@settings(deadline=None)  # the first decision imports scipy
@given(
    groups=st.lists(st.lists(scores, min_size=2, max_size=4), min_size=1, max_size=4),
    shifts=st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_how_good_a_file_is_says_nothing_of_noise(
    groups: list[list[float]], shifts: list[float]
) -> None:
    """Files differ in their scores, and only runs of the same one are draws of the noise."""
    shifted = [
        [score + shift for score in group] for group, shift in zip(groups, shifts, strict=False)
    ]
    plain, moved = pool_noise(groups), pool_noise(shifted)
    assert plain is not None and moved is not None
    assert moved.sd_bpb == pytest.approx(plain.sd_bpb, rel=1e-6, abs=1e-12)
    assert moved.df == plain.df == sum(len(group) - 1 for group in groups)


def test_a_prior_counts_as_the_runs_behind_it() -> None:
    """What `lab noise` measured on this host is evidence of the same kind."""
    group = [1.0, 1.002, 1.001]
    together = pool_noise([group, [1.5, 1.503]])
    prior = pool_noise([[1.5, 1.503]])
    updated = pool_noise([group], prior)
    assert together is not None and updated is not None
    assert updated.sd_bpb == pytest.approx(together.sd_bpb)
    assert updated.df == together.df
    assert pool_noise([], prior) == prior


def test_the_selected_run_is_no_draw_of_the_noise() -> None:
    """It was run again because it was low, so it would make the noise look larger than it is."""
    groups = noise_groups([1.0, 1.002], [[0.990, 0.999, 1.001], [0.991, 1.003]])
    assert groups == [[1.0, 1.002], [0.999, 1.001], [1.003]]
    noise = pool_noise(groups)
    assert noise is not None
    assert noise.df == 2


def test_the_interval_of_a_sd_is_chi_square() -> None:
    """Figures of any table: the 95 % bounds of 2 degrees are 0.0506 and 7.378."""
    low, high = sd_interval(Noise(sd_bpb=0.001, df=2))
    assert low == pytest.approx(0.001 * math.sqrt(2 / 7.3778), rel=1e-4)
    assert high == pytest.approx(0.001 * math.sqrt(2 / 0.050636), rel=1e-4)
    narrow = sd_interval(Noise(sd_bpb=0.001, df=50))
    assert low < narrow[0] < 0.001 < narrow[1] < high


def test_a_deletion_earns_no_more_than_a_page_of_code() -> None:
    """Three hundred lines in one string must not buy a score that is clearly worse."""
    best = Bar(mean_bpb=1.0, runs=3, memory_bytes=None)
    noise = Noise(sd_bpb=0.001, df=20)
    change = Change(net_lines=-350, memory_bytes=None)
    verdict = settle(Rule(), reruns=[1.01, 1.01, 1.01], best=best, noise=noise, change=change)
    assert not verdict.keep
    assert verdict.price_bpb == pytest.approx(-MOST_LINES_EARNED * Rule().bpb_per_line)
