"""Which claims are audited: everything that something would follow from, by the very rule that decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.findings import Plan
from lab.agents import Proposal
from lab.campaign import Campaign, open_campaign
from lab.experiment import _decide, _doubt
from lab.gate import Training
from lab.ledger import AUDIT, BASELINE, CANDIDATE, CONFIRM
from lab.outcome import Status
from lab.verdict import Verdict
from lab.waiting import Pending
from tests.unit.nights import make_record, make_score
from tests.unit.test_campaign import FACTS, SEED

TOLERANCE_NATS = 1e-3  # of the made audits


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Two baselines near 1.9, and a candidate of another line of code that looked better."""
    folder = tmp_path_factory.mktemp("doubt")
    with open_campaign(folder, FACTS, seed_train_py=SEED) as campaign:
        root = campaign.workspace.root()
        changed = campaign.workspace.commit("x = 2\n", number=3, parent=root, message="m\n")
        for record in (
            make_record(1, kind=BASELINE, val_bpb=1.901, commit=root, calibrated=True),
            make_record(2, kind=BASELINE, val_bpb=1.899, commit=root),
            make_record(3, val_bpb=1.85, commit=changed.commit),
        ):
            campaign.ledger.append(record)
        yield campaign


def pending_of(kind: str, *, original: int | None = None) -> Pending:
    proposal = Proposal(title="t", hypothesis="h", train_py="x = 2\n", agent="a")
    return Pending(4, kind, proposal, repeats=None, agent_s=0.0, original=original)


def ask(campaign: Campaign, pending: Pending, bpb: float) -> tuple[Plan | None, Verdict]:
    """Both questions, about one score: whether to audit it, and then what follows from it."""
    training = make_record(1).trial.training
    assert isinstance(training, Training)
    trial = replace(make_record(1).trial, val=make_score(bpb), training=training)
    plan = _doubt(campaign, pending, make_score(bpb), training)
    return plan, _decide(campaign, pending, trial)


@settings(deadline=None, max_examples=60)
@given(bpb=st.floats(1.7, 2.1), kind=st.sampled_from([CANDIDATE, CONFIRM]))
def test_what_leads_somewhere_was_audited_and_what_does_not_was_not(
    campaign: Campaign, bpb: float, kind: str
) -> None:
    """A keep that nobody audited is a hole; an audit of every discard is half the night."""
    pending = pending_of(kind, original=3 if kind == CONFIRM else None)
    plan, verdict = ask(campaign, pending, bpb)
    assert (plan is not None) is (verdict.keep or verdict.confirm)
    assert verdict.keep is False or kind == CONFIRM
    if plan is not None:
        assert plan == Plan(tolerance_nats=TOLERANCE_NATS, holdout=verdict.keep)


@pytest.mark.parametrize(
    ("kind", "bpb", "audited"),
    [
        pytest.param(CANDIDATE, 1.80, True, id="promising"),
        pytest.param(CANDIDATE, 1.95, False, id="worse"),
        pytest.param(CONFIRM, 1.80, True, id="confirmed"),
        pytest.param(CONFIRM, 2.05, False, id="not-confirmed"),
    ],
)
def test_both_answers_are_given(campaign: Campaign, kind: str, bpb: float, audited: bool) -> None:
    """The control of the test above: a rule that never doubts would agree with itself, too."""
    plan, _ = ask(campaign, pending_of(kind, original=3 if kind == CONFIRM else None), bpb)
    assert (plan is not None) is audited


def test_a_keep_is_scored_on_the_holdout(campaign: Campaign) -> None:
    """It is scored once, where it is kept: each look at the holdout wears it."""
    plan, verdict = ask(campaign, pending_of(CONFIRM, original=3), 1.80)
    assert verdict.keep
    assert plan is not None
    assert plan.holdout
    plan, verdict = ask(campaign, pending_of(CANDIDATE), 1.80)
    assert verdict.confirm
    assert plan is not None
    assert not plan.holdout


def test_what_a_person_asks_for_is_audited_whatever_it_scores(campaign: Campaign) -> None:
    """A doubt is about the claim, not about the score; and nothing follows from looking."""
    for original in (1, 3):
        plan, verdict = ask(campaign, pending_of(AUDIT, original=original), 1.5)
        assert plan == Plan(tolerance_nats=TOLERANCE_NATS, holdout=False)
        assert (verdict.keep, verdict.confirm) == (False, False)


def test_the_first_baseline_calibrates_and_every_baseline_is_audited(
    campaign: Campaign, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All scores are compared with it: a baseline that cheats would hide every gain."""
    plan, _ = ask(campaign, pending_of(BASELINE), 1.9)
    assert plan == Plan(tolerance_nats=TOLERANCE_NATS, holdout=True)
    with open_campaign(tmp_path_factory.mktemp("new"), FACTS, seed_train_py=SEED) as new:
        plan, verdict = ask(new, pending_of(BASELINE), 1.9)
        assert plan == Plan(tolerance_nats=None, holdout=True)
        assert (verdict.keep, verdict.confirm) == (False, False)


def test_without_a_baseline_a_score_is_audited_and_not_kept(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """`lab run` tries one file alone: its user wants to know whether the number is true."""
    with open_campaign(tmp_path_factory.mktemp("new"), FACTS, seed_train_py=SEED) as new:
        plan, verdict = ask(new, pending_of(CANDIDATE), 1.2)
    assert plan == Plan(tolerance_nats=None, holdout=False)
    assert (verdict.keep, verdict.confirm) == (False, False)
    assert "no baseline" in verdict.sentence


@pytest.mark.parametrize("status", [status for status in Status if status != Status.MEASURED])
def test_what_has_no_score_is_never_kept(campaign: Campaign, status: Status) -> None:
    """A claim that fails its audit is often the best score of the night."""
    failed = make_record(4, kind=CONFIRM, original=3, status=status).trial
    verdict = _decide(campaign, pending_of(CONFIRM, original=3), failed)
    assert (verdict.keep, verdict.confirm) == (False, False)
    assert status.value in verdict.sentence
    lying = replace(failed, val=make_score(0.5))
    assert _decide(campaign, pending_of(CONFIRM, original=3), lying).keep is False
