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
from dataclasses import dataclass, replace
from datetime import datetime

from lab.agents import Agent, NoMoreIdeas
from lab.agents.open import agent_line, open_agent
from lab.campaign import Campaign, Pending, new_tag
from lab.errors import CampaignError, LabError
from lab.experiment import conclude, run_experiment
from lab.history import write_brief
from lab.host import Say
from lab.ledger import Record
from lab.night import Night, open_night
from lab.outcome import Status, StopNow
from lab.recovery import wait_for_engine
from lab.settings import Settings

# Two losses in a row are bad luck; four are a broken host, and a night of them helps nobody.
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
    say(agent_line(settings))
    agent = open_agent(settings)
    tag = settings.tag or new_tag(settings.runs, datetime.now().astimezone())
    with open_night(settings, tag=tag, agent=agent.name, say=say) as opened:
        limits = Limits(
            deadline=time.monotonic() + settings.hours * 3600 if settings.hours else None,
            candidates=settings.experiments,
        )
        night = replace(opened, deadline=limits.deadline, planned=_planned(opened.campaign, limits))
        research(night, agent, limits)
        return night


def research(night: Night, agent: Agent, limits: Limits) -> None:
    """The loop. Every turn leaves the campaign as the ledger says, whatever happens in it."""
    campaign = night.campaign
    _say_how_it_begins(night)
    night.bench.engine.reap(campaign=campaign.facts.tag)
    campaign.settle()
    first = len(campaign.ledger.records)
    try:
        while (why := _why_stop(night, limits, first)) is None:
            _refuse_a_full_disk(night)
            record = run_experiment(night, _next_proposal(night, agent))
            _react(night, record)
    except NoMoreIdeas:
        why = "the agent has no more ideas"
    except StopNow:
        why = "you asked to stop at once; the unfinished experiment is run again on resume"
    finally:
        conclude(night)
    _say_how_it_ended(night, why)


def _next_proposal(night: Night, agent: Agent) -> Pending:
    """What to run next: what was interrupted, what was lost, the baseline, or a new idea."""
    campaign, ledger = night.campaign, night.campaign.ledger
    number = len(ledger.records) + 1
    if pending := campaign.pending():
        return pending
    if ledger.records and (lost := ledger.records[-1]).trial.status is Status.LOST:
        again = campaign.pending_of(lost.number)
        if lost.repeats is None and again is not None:
            return campaign.store_pending(
                Pending(number, again.kind, again.proposal, repeats=lost.number, agent_s=0.0)
            )
    if len(ledger.baselines()) < campaign.facts.noise_runs:
        return campaign.store_pending(night.baseline(number))
    best = ledger.best()
    assert best is not None, "there is a best once the baseline was measured"
    night.screen.phase("proposing", experiment=number, title="")
    began = time.monotonic()
    proposal = agent.propose(
        write_brief(
            ledger,
            profile=campaign.facts.profile,
            program=night.program,
            train_py=campaign.workspace.read(best.commit),
            seconds_left=night.seconds_left(),
            folder_of=campaign.folder_of,
        )
    )
    return campaign.store_pending(
        Pending(number, "candidate", proposal, repeats=None, agent_s=time.monotonic() - began)
    )


def _why_stop(night: Night, limits: Limits, first: int) -> str | None:
    """Why no further experiment should start; None to go on."""
    if why := night.interrupts.why_stop():
        return why
    if limits.deadline is not None and time.monotonic() >= limits.deadline:
        return "the time is up"
    done = [r for r in night.campaign.ledger.records[first:] if r.kind == "candidate"]
    baseline_known = len(night.campaign.ledger.baselines()) >= night.campaign.facts.noise_runs
    if limits.candidates is not None and len(done) >= limits.candidates and baseline_known:
        return f"{limits.candidates} experiments are done"
    return None


def _planned(campaign: Campaign, limits: Limits) -> int | None:
    """How many experiments the ledger will hold when the limit by count is reached."""
    if limits.candidates is None:
        return None
    missing = campaign.facts.noise_runs - len(campaign.ledger.baselines())
    return len(campaign.ledger.records) + max(0, missing) + limits.candidates


def _react(night: Night, record: Record) -> None:
    """A lost experiment may mean a broken host, and a failed baseline ends the night."""
    if record.trial.status is Status.LOST:
        recent = night.campaign.ledger.records[-MOST_LOST_IN_A_ROW:]
        if len(recent) == MOST_LOST_IN_A_ROW and all(r.trial.status is Status.LOST for r in recent):
            raise LabError(
                f"{MOST_LOST_IN_A_ROW} experiments in a row were lost by the lab itself.",
                why=record.trial.reason,
                do="mend the host (`make doctor`), then start the same TAG again.",
            )
        wait_for_engine(night.settings, night.bench.engine, night.interrupts, night.screen.say)
        night.bench.engine.reap(campaign=night.campaign.facts.tag)
    elif record.kind == "baseline" and record.trial.status is not Status.MEASURED:
        raise CampaignError(
            "the baseline could not be measured, so there is nothing to improve on.",
            why=f"{record.trial.status.value}: {record.trial.reason}",
            do=f"see {night.campaign.folder_of(record.number) / 'train.log'}, mend "
            f"{night.settings.train_file}, and start a new TAG.",
        )


def _refuse_a_full_disk(night: Night) -> None:
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
    night.screen.say(f"records, best model and pictures: {night.campaign.folder}")
