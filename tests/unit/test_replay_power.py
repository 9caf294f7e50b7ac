"""The error rates that the README cites, at a size that a test can afford."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from benchmarks.replay_power import HEADLINE_SDS, claim_of, replay, selection
from lab.reproduction import NOT_REPRODUCED, REPRODUCED

LABS = 300


@pytest.mark.parametrize("same", [True, False], ids=["same-class", "other-class"])
def test_a_true_claim_is_hardly_ever_denied_and_an_empty_one_hardly_ever_confirmed(
    same: bool,
) -> None:
    """These are the two errors that hurt somebody; at half of a gain, each verdict is wrong one time in twenty."""
    ends = {
        share: Counter(
            replay(random.Random(f"{same}/{share}/{n}"), HEADLINE_SDS, share, same=same)[1]
            for n in range(LABS)
        )
        for share in (1.0, 0.5, 0.0)
    }
    assert ends[1.0][NOT_REPRODUCED] <= 0.01 * LABS
    assert ends[0.0][REPRODUCED] <= 0.01 * LABS
    assert ends[1.0][REPRODUCED] > 0.6 * LABS and ends[0.0][NOT_REPRODUCED] > 0.6 * LABS
    # Three sds above one in twenty.
    assert max(ends[0.5][REPRODUCED], ends[0.5][NOT_REPRODUCED]) <= 0.09 * LABS


def test_a_claim_is_drawn_around_its_true_gain() -> None:
    """A simulation of other labs than it says would cite figures of nothing."""
    rng = random.Random(7)
    claims = [claim_of(rng, 4.0) for _ in range(LABS)]
    assert sum(claim.gain_bpb for claim in claims) / LABS == pytest.approx(4.0, abs=0.2)
    noises = [claim.noise.sd_bpb**2 for claim in claims if claim.noise]
    assert sum(noises) / LABS == pytest.approx(1.0, abs=0.1)


def test_what_was_kept_against_much_noise_claims_more_than_it_is_worth() -> None:
    """The re-runs had to pass a test, so a little of the winner's curse is left in a small gain."""
    assert selection(random.Random(1), 2.0) > 1.1
    assert selection(random.Random(1), 8.0) == pytest.approx(1.0, abs=0.02)
