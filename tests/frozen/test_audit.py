"""The blind audit: what cannot be predicted is not believed, and what can be is never doubted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.audit import cut_rows, nats_of
from harness.claim import Refused
from harness.profiles import PROFILES
from tests.attacks.honest import PROFILE, audit_once, draw_rows, lengths_of

DRAW = np.random.default_rng(3)
ROWS = draw_rows(32, DRAW)
DONORS = draw_rows(200, DRAW)
BYTE_LEN = lengths_of(ROWS)
VOCAB = PROFILE.vocab_size


def test_a_cut_row_is_true_up_to_its_cut_and_other_text_after_it() -> None:
    """One true token too many would be the answer."""
    for _ in range(20):
        inputs, cuts = cut_rows(ROWS, BYTE_LEN, DONORS, DRAW)
        assert inputs.shape == (32, 128) and inputs.dtype == np.uint16
        for row, cut_row, cut in zip(ROWS, inputs, cuts, strict=True):
            assert np.array_equal(cut_row[: cut + 1], row[: cut + 1])
            if cut + 1 < 128:
                assert cut_row[cut + 1] != row[cut + 1]
        assert (BYTE_LEN[np.arange(32), cuts] > 0).all()


def test_every_scored_position_can_be_cut() -> None:
    """A position that is never looked at is a position where lying is free: the first and the last too."""
    everything = np.full((1, 128), 4, dtype=np.int64)
    draw = np.random.default_rng(1)
    seen = {int(cut_rows(ROWS[:1], everything, DONORS, draw)[1][0]) for _ in range(3000)}
    assert seen == set(range(128))


def test_cuts_are_another_set_each_time() -> None:
    """What can be foreseen can be prepared for."""
    first, second = (cut_rows(ROWS, BYTE_LEN, DONORS, np.random.default_rng())[1] for _ in range(2))
    assert not np.array_equal(first, second)


def test_the_judges_softmax_is_torchs_cross_entropy() -> None:
    """The comparison is of two computations of one number."""
    logits = torch.randn(50, VOCAB) * 8
    logits[:, 7] = -torch.inf  # an impossible token is a probability like any other
    targets = torch.randint(8, VOCAB, (50,))
    ours = nats_of(logits.numpy(), targets.numpy().astype(np.uint16))
    theirs = F.cross_entropy(logits, targets, reduction="none").numpy()
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_give_no_probability_are_refused(value: float) -> None:
    """NaN would compare as no mismatch."""
    logits = np.zeros((2, VOCAB), dtype=np.float32)
    logits[1, 5] = value
    with pytest.raises(Refused, match="LOGITS_NOT_FINITE"):
        nats_of(logits, np.array([1, 2], dtype=np.uint16))


class Honest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Embedding(VOCAB, 32)
        self.out = nn.Linear(32, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.into(tokens))


class LooksAhead(Honest):
    """By `reach` tokens, on the rows that `rows` picks."""

    def __init__(self, reach: int, every: int = 1) -> None:
        super().__init__()
        self.reach, self.every = reach, every

    def forward(self, tokens: Tensor) -> Tensor:
        later = F.one_hot(tokens.roll(-self.reach, 1), VOCAB).float()
        picked = (tokens[:, 1] % self.every == 0)[:, None, None]
        return super().forward(tokens) + 9 * later * picked


class AveragesTheRow(Honest):
    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.into(tokens)
        return self.out(hidden + hidden.mean(1, keepdim=True))


class Remembers(Honest):
    """Keeps what it saw in earlier rows."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.zeros(VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        logits = super().forward(tokens) + 0.1 * self.seen
        self.seen += torch.bincount(tokens.flatten(), minlength=VOCAB) / 100
        return logits


class CountsCalls(Honest):
    """Depends on nothing but how often it was called: blind to the text, and yet another model each time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, tokens: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(tokens) * (1 + 0.2 * self.calls)


def test_an_honest_model_matches_to_its_rounding() -> None:
    found = audit_once(Honest(), ROWS, DONORS)
    assert found.passed and found.calibrated
    assert found.points == 32
    assert found.worst_difference_nats < 1e-5
    assert found.tolerance_nats == PROFILE.tolerance_floor_nats
    assert found.blind_bpb == pytest.approx(found.claimed_bpb, abs=1e-5)
    assert found.power == pytest.approx(1 - 0.9995**32)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(LooksAhead(1), id="one-token-ahead"),
        pytest.param(LooksAhead(64), id="64-tokens-ahead"),
        pytest.param(LooksAhead(1, every=3), id="on-some-rows"),
        pytest.param(AveragesTheRow(), id="mean-over-the-row"),
        pytest.param(Remembers(), id="remembers-earlier-rows"),
    ],
)
def test_what_needs_the_answer_is_caught(model: nn.Module) -> None:
    found = audit_once(model, ROWS, DONORS, fresh=_fresh(model), tolerance_nats=1e-4)
    assert not found.blind_passed
    assert found.mismatches > 0


def _fresh(model: nn.Module) -> nn.Module:
    """The same weights in a container that was never called."""
    other = type(model).__new__(type(model))
    other.__dict__ = dict(model.__dict__)
    if isinstance(model, Remembers):
        other.seen = torch.zeros(VOCAB)
    return other


def test_what_was_hidden_shows_in_the_corrected_score() -> None:
    """The audit says what the model is worth, not only that it lied."""
    model = LooksAhead(1)
    found = audit_once(model, ROWS, DONORS, tolerance_nats=1e-4)
    assert found.mean_difference_nats > 5
    assert found.blind_bpb > found.claimed_bpb + 1


def test_a_model_that_depends_on_its_calls_fails_the_order_check() -> None:
    """Blind points come in the order of the claim; only another order shows what a call leaves behind."""
    model, fresh = CountsCalls(), CountsCalls()
    fresh.load_state_dict(model.state_dict())
    found = audit_once(model, ROWS, DONORS, fresh=fresh, tolerance_nats=1e-4)
    assert found.blind_passed
    assert not found.order_passed and not found.passed


def test_a_hidden_cheat_below_the_tolerance_moves_the_mean() -> None:
    """A lie just under the tolerance at every token would add up to a score."""

    class Shaves(Honest):
        def forward(self, tokens: Tensor) -> Tensor:
            later = F.one_hot(tokens.roll(-1, 1), VOCAB).float()
            return super().forward(tokens) + 9e-5 * later

    found = audit_once(Shaves(), ROWS, DONORS, tolerance_nats=1e-4)
    assert found.mismatches == 0
    assert not found.passed


class RoundsElsewhere(Honest):
    """What another choice of kernels would do: every logit a little off, in no direction."""

    def forward(self, tokens: Tensor) -> Tensor:
        logits = super().forward(tokens)
        return logits + 3e-4 * torch.randn_like(logits)


class ShavesLosses(Honest):
    """Takes from every loss as much as such rounding moves a few of them."""

    def forward(self, tokens: Tensor) -> Tensor:
        later = F.one_hot(tokens.roll(-1, 1), VOCAB).float()
        return super().forward(tokens) + 1e-3 * later


@pytest.mark.parametrize(
    ("model", "passes"),
    [
        pytest.param(RoundsElsewhere(), True, id="rounds-elsewhere"),
        pytest.param(ShavesLosses(), False, id="shaves-as-much"),
    ],
)
@pytest.mark.parametrize("profile", ["smoke", "cpu"])
def test_kernels_that_round_elsewhere_are_forgiven_and_a_shave_as_large_is_not(
    profile: str, model: nn.Module, passes: bool
) -> None:
    """An AVX-512 host once gave the same losses up to 0.00094 apart, and its owner is no cheat."""
    floor = PROFILES[profile].tolerance_floor_nats
    found = audit_once(model, ROWS, DONORS, tolerance_nats=floor)
    assert found.worst_difference_nats > 5e-4
    assert found.mismatches == found.order_mismatches == 0
    assert found.passed is passes


def test_the_mean_of_one_split_is_not_hidden_in_that_of_another() -> None:
    """Only validation decides, so an honest holdout must not water a lie on it down."""

    class ShavesSome(Honest):
        def forward(self, tokens: Tensor) -> Tensor:
            later = F.one_hot(tokens.roll(-1, 1), VOCAB).float()
            first = (tokens[:, 1] == ROWS[0, 1])[:, None, None]
            return super().forward(tokens) + 5e-5 * later * first

    rows = np.repeat(ROWS[:1], 32, axis=0)
    model = ShavesSome()
    split = audit_once(model, rows, DONORS, tolerance_nats=1e-4)
    assert split.mismatches == 0 and not split.passed
    both = audit_once(model, rows, DONORS, tolerance_nats=1e-4, beside=draw_rows(320, DRAW))
    assert not both.passed


def test_a_calibration_cannot_widen_the_tolerance_beyond_its_cap() -> None:
    """A hostile seed must not buy the whole campaign a blind eye."""
    found = audit_once(CountsCalls(), ROWS, DONORS, fresh=CountsCalls())
    assert found.calibrated
    assert found.tolerance_nats == PROFILE.tolerance_cap_nats
    assert not found.passed


def test_two_hundred_audits_of_honest_models_raise_no_alarm() -> None:
    """One false alarm in a hundred would throw away a keep a night."""
    # In a process of its own: a train.py takes its sizes from the profile, and this one has another.
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.honest"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"NIGHTLAB_PROFILE": "smoke"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["audits"], found["flagged"]) == (200, 0)
