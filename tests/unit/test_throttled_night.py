"""A night on a card that gets too warm: what it throttled is run again once, and is never kept.

The trials are scripted, as in tests/unit/test_contended_night.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.agents.offline.memory import Outcome, _outcome
from lab.campaign import Campaign, open_campaign
from lab.errors import LabError
from lab.ledger import open_candidate
from lab.outcome import Status
from lab.prompt import Past
from lab.settings import Settings
from lab.show.tally import tally
from tests.faults.files import HONEST
from tests.unit.nights import make_record, make_run
from tests.unit.test_campaign import FACTS
from tests.unit.test_contended_night import run_night, story

M, W, C, L = Status.MEASURED, Status.CONDITIONS, Status.CONTENDED, Status.LOST


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path, FACTS, seed_train_py=HONEST) as campaign:
        yield campaign


def test_what_was_throttled_once_is_run_again_and_forgotten(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A truck parked before the air inlet is no idea's fault, nor the baseline's."""
    agent = run_night(campaign, settings, monkeypatch, [W, M, M, W, M, M, M])
    assert story(campaign) == [
        ("baseline, run 1 of 2", "conditions", None),
        ("baseline, run 1 of 2", "measured", 1),
        ("baseline, run 2 of 2", "measured", None),
        ("idea 1", "conditions", None),
        ("idea 1", "measured", 4),
        ("idea 2", "measured", None),
        ("idea 3", "measured", None),
    ]
    assert {past.status for brief in agent.briefs for past in brief.history} == {"measured"}


def test_what_is_throttled_twice_is_given_up_and_the_night_goes_on(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that is always warm must not hold the night, and a third run would say no more."""
    agent = run_night(campaign, settings, monkeypatch, [M, M, W, W, W, W, W, W])
    assert story(campaign)[2:] == [
        ("idea 1", "conditions", None),
        ("idea 1", "throttled", 3),
        ("idea 2", "conditions", None),
        ("idea 2", "throttled", 5),
        ("idea 3", "conditions", None),
        ("idea 3", "throttled", 7),
    ]
    record = campaign.ledger.records[3]
    assert record.trial.reason == "twice in a row, so it was not judged: the run conditions"
    assert record.verdict.sentence.startswith("discarded: throttled: twice in a row")
    assert not any(r.verdict.keep or r.verdict.confirm for r in campaign.ledger.records)
    # The agent hears of it: its idea may be what heats the card, and would come again.
    assert [p.status for p in agent.briefs[1].history if p.title == "idea 1"] == ["throttled"]


def test_two_throttled_runs_count_as_one_experiment(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a night of so many experiments and no hours would never end on a warm card."""
    run_night(campaign, settings, monkeypatch, [M, M, W, W, W, M], candidates=2)
    assert story(campaign)[-1] == ("idea 2", "measured", 5)
    assert tally(campaign.ledger.records).tried == 2


def test_only_two_in_a_row_are_too_many(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour between the two explains the heat of the first; the idea gets its second run."""
    run_night(campaign, settings, monkeypatch, [M, M, W, C, W, M, M, M])
    assert story(campaign)[2:6] == [
        ("idea 1", "conditions", None),
        ("idea 1", "contended", 3),
        ("idea 1", "conditions", 4),
        ("idea 1", "measured", 5),
    ]


def test_a_baseline_that_is_always_throttled_ends_the_night_with_what_to_do(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing fair to improve on; and after a night's rest of the card, the same TAG goes on."""
    with pytest.raises(LabError, match="baseline was throttled twice in a row") as ended:
        run_night(campaign, settings, monkeypatch, [M, W, W])
    assert "the run conditions" in ended.value.why
    assert "THROTTLED_SHARE" in ended.value.do
    run_night(campaign, settings, monkeypatch, [M, M, M, M])
    assert story(campaign)[3:5] == [
        ("baseline, run 2 of 2", "measured", None),
        ("idea 1", "measured", None),
    ]


def test_a_night_that_gives_no_result_at_all_still_ends(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heat, loss and neighbours by turns are a broken host, whichever of them is last."""
    with pytest.raises(LabError, match="GPU was throttled") as ended:
        run_night(campaign, settings, monkeypatch, [M, M, C, W, L, W])
    assert "cooling" in ended.value.do
    assert story(campaign)[-1] == ("idea 1", "conditions", 5)


def test_a_candidate_whose_re_run_is_throttled_twice_is_not_decided_on() -> None:
    """It looked better; without a fair re-run nobody can say that it is, so it is never kept."""
    looked_better = make_run(4, "confirm", 1.85)
    first = make_run(5, "discard", of=4, status=Status.CONDITIONS)
    second = make_run(6, "discard", of=4, status=Status.THROTTLED)
    seed = [make_record(number, kind="baseline") for number in (1, 2, 3)]
    assert open_candidate([*seed, looked_better, first]) == looked_better
    assert open_candidate([*seed, looked_better, first, second]) is None


def test_what_was_throttled_leaves_no_checkpoint(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was trained to its end; a warm night must not fill the disk."""
    spoilt = campaign.folder_of(3) / "checkpoint"
    spoilt.mkdir(parents=True)
    run_night(campaign, settings, monkeypatch, [M, M, W, M, M, M])
    assert not spoilt.exists()


def test_the_offline_agent_blames_no_move_for_the_heat() -> None:
    """It was not worse; it was not judged."""
    past = Past(
        number=4,
        kind="candidate",
        title="t",
        hypothesis="h",
        status="throttled",
        kept=False,
        val_bpb=None,
        gain_bpb=None,
        reason="r",
        facts={},
        log_tail="",
    )
    assert _outcome(past, noise=0.001) is Outcome.LOST
