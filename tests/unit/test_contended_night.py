"""A night beside a neighbour: what he spoilt is run again, is not counted, and no agent hears of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from harness.profiles import PROFILES
from lab import experiment, overnight
from lab.agents import NoMoreIdeas, Proposal
from lab.campaign import Campaign, open_campaign
from lab.errors import LabError
from lab.interrupts import Interrupts
from lab.night import Night
from lab.outcome import Status
from lab.overnight import Limits, research
from lab.prompt import Brief
from lab.report.drawing import Plotter
from lab.settings import Settings
from lab.show.screen import open_screen
from lab.trial import Bench, Trial
from tests.faults.files import HONEST
from tests.unit.nights import make_record
from tests.unit.test_campaign import FACTS, SUBJECT

M, C, L = Status.MEASURED, Status.CONTENDED, Status.LOST


@dataclass
class Ideas:
    """An agent with three ideas, which keeps what it was told."""

    name: str = "ideas"
    thinks_ahead: bool = False
    briefs: list[Brief] = field(default_factory=list)

    def propose(self, brief: Brief) -> Proposal:
        self.briefs.append(brief)
        if len(self.briefs) > 3:
            raise NoMoreIdeas
        number = len(self.briefs)
        train_py = HONEST.replace('"width": 32', f'"width": {32 + 8 * number}')
        return Proposal(title=f"idea {number}", hypothesis="h", train_py=train_py, agent=self.name)


class Engine:
    """An engine that makes nothing, and answers."""

    seconds = 0.0
    made = frozenset[str]()

    def reap(self, *, campaign: str | None = None) -> list[str]:
        return []

    def answers(self) -> bool:
        return True


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path, FACTS, seed_train_py=HONEST) as campaign:
        yield campaign


def run_night(
    campaign: Campaign,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    endings: list[Status],
    *,
    candidates: int | None = None,
    free: list[bool] | None = None,
) -> Ideas:
    """Research with trials that end as `endings` says, and with a card that is free as `free` says."""
    numbers = iter(endings)

    def run_trial(bench: Bench, folder: Path, *, number: int, **_: Any) -> Trial:
        status = next(numbers)
        return make_record(number, status=status, val_bpb=1.9 - 0.001 * (number % 2)).trial

    monkeypatch.setattr(experiment, "run_trial", run_trial)
    if free is not None:
        monkeypatch.setattr(overnight, "wait_until_free", lambda *_, **__: free.pop(0))
    agent = Ideas()
    bench = Bench(
        engine=cast("Any", Engine()),
        image="sha256:1",
        profile=PROFILES["smoke"],
        campaign="nov23",
        data=campaign.folder,
        gpu_uuid=None,
        cpus=None,
        subject=SUBJECT,
        fingerprint=FACTS.fingerprint,
    )
    with (
        open_screen(campaign.folder / "events.jsonl") as screen,
        Interrupts(campaign.folder) as interrupts,
    ):
        night = Night(
            settings=settings,
            bench=bench,  # type: ignore[arg-type]
            campaign=campaign,
            program="find a better model",
            contract="the contract",
            prepare_py="# prepare",
            screen=screen,
            interrupts=interrupts,
            plotter=Plotter(campaign.folder),
            deadline=time.monotonic() + 600,
        )
        research(night, agent, Limits(deadline=night.deadline, candidates=candidates))
    return agent


def story(campaign: Campaign) -> list[tuple[str, str, int | None]]:
    return [(r.title, r.trial.status.value, r.repeats) for r in campaign.ledger.records]


def test_what_a_neighbour_spoilt_is_run_again_until_it_is_measured(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is never the idea's fault, however often he comes; not the baseline's either."""
    endings = [C, M, M, C, C, C, M, M, M]
    agent = run_night(campaign, settings, monkeypatch, endings)
    assert story(campaign) == [
        ("baseline, run 1 of 2", "contended", None),
        ("baseline, run 1 of 2", "measured", 1),
        ("baseline, run 2 of 2", "measured", None),
        ("idea 1", "contended", None),
        ("idea 1", "contended", 4),
        ("idea 1", "contended", 5),
        ("idea 1", "measured", 6),
        ("idea 2", "measured", None),
        ("idea 3", "measured", None),
    ]
    assert len(campaign.ledger.baselines()) == 2
    shown = {past.status for brief in agent.briefs for past in brief.history}
    assert shown == {"measured"}


def test_it_does_not_count_as_one_of_the_experiments_that_were_asked_for(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for two experiments wants two results."""
    run_night(campaign, settings, monkeypatch, [M, M, C, M, C, M], candidates=2)
    assert [title for title, status, _ in story(campaign) if status == "measured"][2:] == [
        "idea 1",
        "idea 2",
    ]


def test_a_neighbour_who_stays_ends_the_night_and_keeps_the_idea(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night of spoilt runs helps nobody; the message says who it was, and the idea is run first later."""
    with pytest.raises(LabError, match="GPU is shared") as ended:
        run_night(campaign, settings, monkeypatch, [M, M, L, C, L, C])
    assert "the run contended" in ended.value.why
    assert "end that process" in ended.value.do
    resumed = run_night(campaign, settings, monkeypatch, [M, M, M, M])
    assert story(campaign)[6] == ("idea 1", "measured", 6)
    assert resumed.briefs[0].history[-1].title == "idea 1"


def test_while_the_card_is_in_use_nothing_is_run(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait that is given up ends the night, and leaves the proposal on disk for the next one."""
    agent = run_night(campaign, settings, monkeypatch, [M, M, M], free=[True, True, True, False])
    assert [title for title, _, _ in story(campaign)[2:]] == ["idea 1"]
    assert len(agent.briefs) == 2
    pending = campaign.pending()
    assert pending is not None and pending.proposal.title == "idea 2"
    run_night(campaign, settings, monkeypatch, [M, M, M, M], free=[True] * 9)
    assert story(campaign)[3][0] == "idea 2"


def test_what_was_spoilt_leaves_no_checkpoint(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been trained to its end; a night beside a neighbour must not fill the disk."""
    spoilt = campaign.folder_of(3) / "checkpoint"
    spoilt.mkdir(parents=True)
    run_night(campaign, settings, monkeypatch, [M, M, C, M, M, M])
    assert not spoilt.exists()
