"""The rule that decides what is kept."""

from __future__ import annotations

import pytest

from lab.verdict import Noise, decide, measure_noise, refuse

NOISE = Noise(mean_bpb=1.85, sd_bpb=0.004, runs=3)


@pytest.mark.parametrize(
    ("val_bpb", "keep"),
    [
        pytest.param(1.8400, True, id="clear-gain"),
        pytest.param(1.8430, False, id="gain-within-noise"),
        pytest.param(1.8500, False, id="tie"),
        pytest.param(1.8600, False, id="worse"),
    ],
)
def test_only_a_gain_beyond_the_noise_is_kept(val_bpb: float, keep: bool) -> None:
    """A night has a hundred draws; keeping lucky ones would ratchet on noise."""
    verdict = decide(val_bpb=val_bpb, best_bpb=1.85, noise=NOISE, margin_sd=2.0)
    assert verdict.keep is keep
    assert verdict.gain_bpb == pytest.approx(1.85 - val_bpb)


def test_a_verdict_says_its_numbers() -> None:
    """A person must be able to check a decision from its sentence alone."""
    sentence = decide(val_bpb=1.84, best_bpb=1.85, noise=NOISE, margin_sd=2.0).sentence
    assert "0.0100" in sentence and "1.8500" in sentence and "0.0080" in sentence


def test_a_failed_experiment_has_no_gain() -> None:
    """A zero would be the best gain or score in history; absence is None."""
    verdict = refuse("crashed: exit code 1", best_bpb=1.85)
    assert not verdict.keep
    assert verdict.gain_bpb is None


def test_one_run_says_nothing_of_noise() -> None:
    """A spread of zero from one run would keep every lucky draw."""
    assert measure_noise([1.85]) is None
    noise = measure_noise([1.84, 1.85, 1.86])
    assert noise is not None
    assert noise.sd_bpb == pytest.approx(0.01)
    assert noise.runs == 3
