"""A whole night with a model: its proposals are run, its money is counted, and it ends well."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from harness.profiles import PROFILES
from lab import experiment
from lab.agents.asking import Surroundings
from lab.agents.model import ModelAgent
from lab.agents.providers import Reply, Request, Usage
from lab.agents.spending import Caps
from lab.agents.transcript import read_transcript
from lab.campaign import Campaign, open_campaign
from lab.interrupts import Interrupts
from lab.night import Night
from lab.overnight import Limits, research
from lab.report.drawing import Plotter
from lab.settings import Settings
from lab.show.screen import open_screen
from lab.trial import Bench, Trial
from tests.faults.files import HONEST
from tests.unit.nights import make_record
from tests.unit.recorded_model import RecordedModel, call, edit, says, submit, words_of
from tests.unit.test_campaign import FACTS, SUBJECT
from tests.unit.test_contended_night import Engine

SECRET_HOLDOUT = 7.654321


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path, FACTS, seed_train_py=HONEST) as campaign:
        yield campaign


def widen(request: Request) -> Reply:
    """Another width in every experiment, in one turn."""
    number = re.findall(r"Propose experiment (\d+) now", request.brief)[-1]
    (old,) = re.findall(r'"width": \d+', request.brief)
    change = edit(old, f'"width": {64 + int(number)}')
    note = call("note", text=f"tried {number}")
    usage = Usage(input_tokens=10_000, output_tokens=1_000)
    return says(note, change, submit(f"width {number}"), usage=usage)


def run_night(
    campaign: Campaign,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caps: Caps,
    *,
    wins: str = "nothing does",
    step: Callable[[Request], Reply] = widen,
) -> RecordedModel:
    """A night in which a train.py that contains `wins` is better than all others."""

    def run_trial(bench: Bench, folder: Path, *, number: int, **_: Any) -> Trial:
        (folder / "train.log").write_text("step 3 | loss 4.0000 | 9 tok/s | 100%\nthe end\n")
        score = (
            1.9 + 0.001 * (number % 2) - (0.3 if wins in (folder / "train.py").read_text() else 0)
        )
        if number < 3:
            holdout = SECRET_HOLDOUT
            return make_record(number, kind="baseline", val_bpb=score, holdout_bpb=holdout).trial
        return make_record(number, val_bpb=score).trial

    monkeypatch.setattr(experiment, "run_trial", run_trial)
    provider = RecordedModel([step], forever=True)
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
        agent = ModelAgent(
            provider,
            price=lambda usage: usage.input_tokens * 1e-6 + usage.output_tokens * 1e-5,
            caps=caps,
            around=Surroundings(stop=interrupts.why_stop, say=screen.say),
            transcript_of=lambda number: campaign.folder / "transcripts" / f"{number:04d}.jsonl.gz",
        )
        research(night, agent, Limits(deadline=night.deadline, candidates=None))
    return provider


def test_a_model_works_until_its_money_is_spent_and_a_resumed_night_has_no_more(
    campaign: Campaign,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each proposal costs 0.02 USD; the cap is for the campaign, whoever starts it how often."""
    provider = run_night(campaign, settings, monkeypatch, Caps(usd=0.13))
    proposed = [r for r in campaign.ledger.records if r.kind == "candidate"]
    assert 2 <= len(proposed) == len(provider.requests)
    assert all(r.cost_usd == pytest.approx(0.02) and r.agent_tokens == 11_000 for r in proposed)
    assert sum(r.cost_usd or 0.0 for r in proposed) <= 0.13
    assert "the night ends: of 0.13 USD" in capsys.readouterr().out
    assert run_night(campaign, settings, monkeypatch, Caps(usd=0.13)).requests == []


@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_night_ends_at_its_hour_though_a_model_is_still_thinking(
    campaign: Campaign,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lookahead: int,
) -> None:
    """Its answer, when it comes, is one that waits for the next night, and is paid for once."""
    goes_on = threading.Event()

    def slow(request: Request) -> Reply:
        monkeypatch.setattr(Night, "seconds_left", lambda night: 0.0)
        assert goes_on.wait(60)
        return widen(request)

    settings = settings.model_copy(update={"lookahead": lookahead})
    run_night(campaign, settings, monkeypatch, Caps(), step=slow)
    assert "the night ends: the time is up" in capsys.readouterr().out
    assert campaign.ahead() == []
    goes_on.set()
    until = time.monotonic() + 20
    while not (ahead := campaign.ahead()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert ahead[0].proposal.cost_usd == pytest.approx(0.02)
    assert ahead[0].proposal.facts["transcript"] == "1"


def test_a_model_is_told_of_everything_but_the_holdout_and_the_host(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real way from the ledger to the prompt."""
    provider = run_night(campaign, settings, monkeypatch, Caps(usd=0.13))
    told = words_of(provider.requests[-1])
    assert "width 3" in told and "tried 3" in told and "build_model(config)" in told
    assert str(SECRET_HOLDOUT) in (campaign.folder / "ledger.jsonl").read_text(), "the control"
    assert "7.65" not in told and "holdout" not in told
    assert str(campaign.folder) not in told
    lines = read_transcript(campaign.folder / "transcripts" / "0001.jsonl.gz")
    assert [line["kind"] for line in lines] == ["begins", "answer", "told"]


def test_every_conversation_is_paid_for_once_where_one_came_to_nothing(
    campaign: Campaign, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What conflicts with a keep is asked for anew: two conversations, one record, and then a third."""
    provider = run_night(campaign, settings, monkeypatch, Caps(usd=0.13), wins='"width": 67')
    proposed = [r for r in campaign.ledger.records if r.kind == "candidate"]
    talks = [r.facts["transcript"].split() for r in proposed]
    assert any(len(numbers) == 2 for numbers in talks), "the control: one came to nothing"
    assert len(talks) > 2
    assert [int(n) for numbers in talks for n in numbers] == [
        n + 1 for n in range(len(provider.requests))
    ]
    assert sum(r.cost_usd or 0.0 for r in proposed) == pytest.approx(0.02 * len(provider.requests))
    for number in range(1, len(provider.requests) + 1):
        lines = read_transcript(campaign.folder / "transcripts" / f"{number:04d}.jsonl.gz")
        assert [line["kind"] for line in lines].count("answer") == 1
