"""One night of research: propose, run, judge, write down, repeat.

Read this file first. Every other module in lab/ is one step named here.

Owns    the order of the steps, and when the night ends
Takes   the settings
Gives   Records, appended to the ledger as they happen
Never   runs git, the engine or a model itself; each has its own door
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lab.agenda import next_proposal, think_ahead
from lab.agents import Agent, NightEnds, NoMoreIdeas
from lab.agents.asking import Surroundings
from lab.agents.open import Workplace, choose_agent
from lab.campaign import Campaign
from lab.contention import wait_until_free
from lab.errors import CampaignError, LabError
from lab.experiment import conclude, run_experiment
from lab.host import Say
from lab.inbox import Inbox
from lab.jail import jailed
from lab.ledger import BASELINE, CANDIDATE, Record, open_candidate
from lab.lookahead import Lookahead
from lab.night import Night, open_night
from lab.outcome import Status, StopNow
from lab.recovery import wait_for_engine
from lab.report.drawing import REPORT_FILE
from lab.runs import new_tag
from lab.settings import Settings
from lab.waiting import Pending

# Two in a row that say nothing of an idea, lost or contended, are bad luck; four are a broken or a crowded
# host, and a night of them helps nobody. A card that is always warm is not among them: what it throttles twice
# in a row is given up, and counts.
MOST_LOST_IN_A_ROW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends a night by itself."""

    deadline: float | None  # host monotonic clock
    candidates: int | None  # proposed in this call


def overnight(settings: Settings, say: Say) -> Night:
    """Research until a limit, a signal, or the agent's last idea.

    Raises:
        LabError: the lab could not go on. What was measured is in the ledger.
    """
    chosen = choose_agent(settings)
    say(chosen.line)
    tag = settings.tag or new_tag(settings.runs, datetime.now().astimezone())
    with open_night(settings, tag=tag, agent=chosen.name, say=say) as opened:
        limits = Limits(
            deadline=time.monotonic() + settings.hours * 3600 if settings.hours else None,
            candidates=settings.experiments,
        )
        night = replace(opened, deadline=limits.deadline, planned=_planned(opened.campaign, limits))
        with jailed(night):
            research(night, chosen.open(_workplace(night)), limits)
        return night


def _workplace(night: Night) -> Workplace:
    def stop() -> str | None:
        night.interrupts.check()
        return night.why_end()

    return Workplace(
        inbox=Inbox(night.campaign.folder),
        around=Surroundings(stop=stop, say=night.screen.say),
        transcripts=night.campaign.folder / "transcripts",
    )


def research(night: Night, agent: Agent, limits: Limits) -> None:
    """The loop. Every turn leaves the campaign as the ledger says, whatever happens in it."""
    campaign = night.campaign
    _say_how_it_begins(night)
    night.bench.engine.reap(campaign=campaign.facts.tag)
    campaign.settle()
    first = len(campaign.ledger.records)
    mind = Lookahead(
        agent, campaign, depth=night.settings.lookahead, check=lambda: _refuse_to_wait(night)
    )
    try:
        while (why := _why_stop(night, limits, first)) is None:
            refuse_a_full_disk(night)
            pending = next_proposal(night, mind)
            if not wait_for_the_card(night):
                why = night.interrupts.why_stop() or "the time is up and the GPU is still in use"
                break
            think_ahead(night, mind, pending, _wanted(night, limits, first, pending))
            _react(night, run_experiment(night, pending))
    except NoMoreIdeas:
        why = "the agent has no more ideas"
    except NightEnds as end:
        why = str(end)
    except StopNow:
        why = night.interrupts.why_stopped()
    finally:
        conclude(night)
    _say_how_it_ended(night, why)


def _why_stop(night: Night, limits: Limits, first: int) -> str | None:
    """Why no further experiment should start; None to go on."""
    records = night.campaign.ledger.records
    if why := night.interrupts.why_stop():
        return why
    if open_candidate(records) is not None or night.campaign.pending() is not None:
        return None  # what was begun is finished before any limit ends the night
    if limits.deadline is not None and time.monotonic() >= limits.deadline:
        return "the time is up"
    baseline_known = len(night.campaign.ledger.baselines()) >= night.campaign.facts.noise_runs
    if limits.candidates is not None and _tried(records[first:]) >= limits.candidates:
        return f"{limits.candidates} experiments are done" if baseline_known else None
    return None


def _refuse_to_wait(night: Night) -> None:
    """End the waiting for an agent, which may take longer than the night lasts.

    Raises:
        NightEnds: the time is up.
        StopNow: a person does not want to wait.
    """
    night.interrupts.check()
    if night.seconds_left() == 0.0:
        raise NightEnds("the time is up")


def _tried(records: Sequence[Record]) -> int:
    return sum(r.kind == CANDIDATE and r.trial.status.says_something for r in records)


def _wanted(night: Night, limits: Limits, first: int, running: Pending) -> int | None:
    """How many ideas this night can still use beside the one that runs; None for any number."""
    if limits.candidates is None:
        return None
    tried = _tried(night.campaign.ledger.records[first:]) + (running.kind == CANDIDATE)
    return max(0, limits.candidates - tried)


def _planned(campaign: Campaign, limits: Limits) -> int | None:
    """How many candidates the campaign will have tried when the limit by count is reached."""
    if limits.candidates is None:
        return None
    return _tried(campaign.ledger.records) + limits.candidates


def _react(night: Night, record: Record) -> None:
    """What was spoilt may mean a broken host, and a failed baseline ends the night."""
    mend_the_host(night, record)
    status = record.trial.status
    if record.kind == BASELINE and status is Status.THROTTLED:
        raise _too_warm(night, record)
    if record.kind == BASELINE and status.says_something and status is not Status.MEASURED:
        raise CampaignError(
            "the baseline could not be measured, so there is nothing to improve on.",
            why=f"{status.value}: {record.trial.reason}",
            do=f"see {night.campaign.folder_of(record.number) / 'train.log'}, mend "
            f"{night.settings.train_file}, and start a new TAG.",
        )


def mend_the_host(night: Night, record: Record) -> None:
    """Make the engine answer again after a lost experiment.

    Raises:
        LabError: too many in a row were spoilt; the host needs a person.
    """
    status = record.trial.status
    recent = night.campaign.ledger.records[-MOST_LOST_IN_A_ROW:]
    if len(recent) == MOST_LOST_IN_A_ROW and not any(r.trial.status.says_something for r in recent):
        raise _too_many_in_a_row(record)
    if status is Status.LOST:
        wait_for_engine(night.settings, night.bench.engine, night.interrupts, night.screen.say)
        night.bench.engine.reap(campaign=night.campaign.facts.tag)


def _too_many_in_a_row(record: Record) -> LabError:
    if record.trial.status is Status.CONTENDED:
        return LabError(
            f"{MOST_LOST_IN_A_ROW} experiments in a row gave no result, this one because the GPU is shared.",
            why=record.trial.reason,
            do="end that process or give the lab a card of its own, then start the same TAG again; "
            "the idea is on disk and is run first.",
        )
    if record.trial.status is Status.CONDITIONS:
        return LabError(
            f"{MOST_LOST_IN_A_ROW} experiments in a row gave no result, this one because the GPU was throttled.",
            why=record.trial.reason,
            do="see to its cooling and power supply, then start the same TAG again; the idea is run first.",
        )
    return LabError(
        f"{MOST_LOST_IN_A_ROW} experiments in a row were lost by the lab itself.",
        why=record.trial.reason,
        do="mend the host (`make doctor`), then start the same TAG again.",
    )


def _too_warm(night: Night, record: Record) -> LabError:
    return LabError(
        "the baseline was throttled twice in a row, so there is no fair score to improve on.",
        why=record.trial.reason,
        do="see to the card's cooling and power supply, then start the same TAG again; where it is always so "
        f"warm, THROTTLED_SHARE={night.settings.throttled_share:g} can be raised, and scores get noisier. "
        f"See {night.campaign.folder_of(record.number) / 'telemetry.parquet'}.",
    )


def wait_for_the_card(night: Night) -> bool:
    """Whether the GPU is free; False when the night should end instead."""
    return wait_until_free(
        night.bench.gpu_uuid,
        ours=night.bench.engine.made,
        patience_s=night.seconds_left(),
        say=night.screen.say,
        interrupts=night.interrupts,
    )


def refuse_a_full_disk(night: Night) -> None:
    """Start no experiment that could not write its results down.

    Raises:
        LabError: too little is free.
    """
    for folder in (night.campaign.folder, night.bench.data):
        free = shutil.disk_usage(folder).free
        if free < night.settings.min_free_bytes:
            raise LabError(
                f"only {free / 2**30:.1f} GiB are free in {folder}.",
                why=f"an experiment is not started with less than "
                f"{night.settings.min_free_bytes / 2**30:.1f} GiB.",
                do="free some disk and start the same TAG again; every record is in the ledger.",
            )


def _say_how_it_begins(night: Night) -> None:
    campaign = night.campaign
    if campaign.ledger.torn_bytes:
        night.screen.event("ledger.repaired", torn_bytes=campaign.ledger.torn_bytes)
    night.screen.event(
        "overnight.started",
        tag=campaign.facts.tag,
        profile=campaign.facts.profile,
        hardware=night.hardware(),
        agent=campaign.facts.agent,
        resumed_after=len(campaign.ledger.records),
    )
    night.show_standing()


def _say_how_it_ended(night: Night, why: str) -> None:
    ledger = night.campaign.ledger
    best = ledger.best()
    night.screen.event(
        "overnight.finished",
        reason=why,
        experiments=len(ledger.records),
        kept=sum(record.verdict.keep for record in ledger.records),
        baseline_bpb=ledger.baseline_bpb(),
        best_bpb=best.val_bpb if best else None,
    )
    night.screen.say(f"records and best model: {night.campaign.folder}")
    if night.plotter.problem:
        night.screen.say(f"the report is not of the whole night: {night.plotter.problem}")
    night.screen.say(f"report: {night.campaign.folder / REPORT_FILE}")
