"""A whole night that a person speaks to: it is stopped at once by a file, and its agent is told a note."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from harness.profiles import PROFILES
from lab import experiment
from lab.agents.asking import Surroundings
from lab.agents.context import PINNED
from lab.agents.model import ModelAgent
from lab.agents.spending import Caps
from lab.bulletin import Bulletin
from lab.campaign import Campaign, open_campaign
from lab.glimpse import Claim, Glimpse
from lab.interrupts import STOP_FILE, Interrupts
from lab.night import Night
from lab.notes import pin_note
from lab.outcome import Watch
from lab.overnight import Limits, research
from lab.report.drawing import Plotter
from lab.settings import Settings
from lab.show.screen import open_screen
from lab.story.now import NOW_FILE, read_now
from lab.story.shapes import Now
from lab.trial import Bench, Trial
from tests.faults.files import HONEST
from tests.unit.nights import make_record
from tests.unit.recorded_model import RecordedModel, words_of
from tests.unit.test_campaign import FACTS, SUBJECT
from tests.unit.test_contended_night import Engine
from tests.unit.test_model_night import widen

PATIENCE_S = 20.0


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path, FACTS, seed_train_py=HONEST) as campaign:
        yield campaign


def play(
    campaign: Campaign,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    during: Any,
    *,
    candidates: int,
) -> RecordedModel:
    """Research with a recorded model; `during` is called with each experiment's number and watch."""

    def run_trial(bench: Bench, folder: Path, *, number: int, watch: Watch, **_: Any) -> Trial:
        watch.phase("training", cap_s=60.0)
        watch.running(
            Glimpse(claims=lambda: [Claim(1.0, 1, 1, 4.0)], log_tail=lambda: b"from the container")
        )
        during(number, watch)
        kind = "baseline" if number < 3 else "candidate"
        return make_record(number, kind=kind, val_bpb=1.9 + 0.001 * (number % 2)).trial

    monkeypatch.setattr(experiment, "run_trial", run_trial)
    provider = RecordedModel([widen], forever=True)
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
        Interrupts(campaign.folder) as interrupts,
        open_screen(campaign.folder / "events.jsonl") as screen,
        Bulletin(campaign.folder, screen, agent="recorded", every_s=0.02, log_every_s=0.02),
    ):
        night = Night(
            settings=settings,
            bench=bench,
            campaign=campaign,
            program="find a better model",
            contract="the contract",
            prepare_py="# prepare",
            screen=screen,
            interrupts=interrupts,
            plotter=Plotter(campaign.folder),
            deadline=time.monotonic() + 600,
        )
        agent = ModelAgent(
            provider,
            price=lambda _: 0.0,
            caps=Caps(),
            around=Surroundings(stop=interrupts.why_stop, say=screen.say),
            transcript_of=lambda number: campaign.folder_of(number) / "transcript.jsonl.gz",
        )
        research(night, agent, Limits(deadline=night.deadline, candidates=candidates))
    return provider


def test_a_stop_file_that_says_now_ends_the_running_experiment_and_loses_nothing(
    campaign: Campaign,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As with Ctrl-C twice: the idea is on disk, and the first one on resume."""
    took: list[float] = []

    def during(number: int, watch: Watch) -> None:
        if number != 3 or took:
            return
        (campaign.folder / STOP_FILE).write_text("now\n")
        began = time.monotonic()
        try:
            while time.monotonic() - began < PATIENCE_S:
                watch.advance(fraction=0.5)
                time.sleep(0.05)
        finally:
            took.append(time.monotonic() - began)

    play(campaign, settings, monkeypatch, during, candidates=2)
    assert len(campaign.ledger.records) == 2
    assert took[0] < 2.0
    pending = campaign.pending()
    assert pending is not None and pending.number == 3
    said = capsys.readouterr().out
    assert "STOP in the campaign says now; remove it to resume" in said

    play(campaign, settings, monkeypatch, during, candidates=2)
    assert len(campaign.ledger.records) == 2, "the file is still there"
    assert "remove it to resume" in capsys.readouterr().out

    (campaign.folder / STOP_FILE).unlink()
    play(campaign, settings, monkeypatch, during, candidates=1)
    assert campaign.ledger.records[2].title == pending.proposal.title


def test_a_pinned_note_is_in_the_next_brief(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was pinned from another terminal, while an experiment ran."""

    def during(number: int, watch: Watch) -> None:
        if number == 3:
            pin_note(campaign.folder, "leave the tokenizer alone")

    provider = play(campaign, settings, monkeypatch, during, candidates=4)
    told = [words_of(request) for request in provider.requests]
    assert "leave the tokenizer alone" not in told[0]
    assert "leave the tokenizer alone" in told[-1]
    assert PINNED in told[-1] and "tried 3" in told[-1]


def test_a_night_is_told_through_all_its_layers(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the trial's watch to the file that a page reads."""
    seen: list[Now] = []

    def during(number: int, watch: Watch) -> None:
        watch.advance(fraction=0.5, loss=4.0, tokens_per_s=9.0)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            now = read_now(campaign.folder)
            if now and now.experiment == number and now.log_tail and now.loss:
                seen.append(now)
                return
            time.sleep(0.01)

    play(campaign, settings, monkeypatch, during, candidates=1)
    assert [now.kind for now in seen] == ["baseline", "baseline", "candidate"]
    assert {now.log_tail for now in seen} == {"from the container"}
    assert seen[-1].title == "width 3" and seen[-1].fraction == 0.5
    assert seen[-1].hypothesis and len(seen[-1].curve) == 1
    assert not (campaign.folder / NOW_FILE).exists()
    assert not [t for t in threading.enumerate() if t.name == "bulletin"]
