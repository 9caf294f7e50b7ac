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

from lab.agents import Agent, NightEnds, NoMoreIdeas
from lab.agents.asking import Surroundings
from lab.agents.human import submitted
from lab.agents.open import Workplace, choose_agent
from lab.campaign import Campaign, Pending, new_tag
from lab.contention import wait_until_free
from lab.errors import CampaignError, LabError
from lab.experiment import conclude, run_experiment
from lab.history import write_brief
from lab.host import Say
from lab.inbox import Inbox
from lab.ledger import BASELINE, CANDIDATE, CONFIRM, Record, open_candidate
from lab.lookahead import Errand, Lookahead
from lab.night import Night, open_night
from lab.outcome import Status, StopNow
from lab.recovery import wait_for_engine
from lab.settings import Settings
from lab.strategy import Decision, decide

# Two in a row that say nothing of an idea, lost or contended, are bad luck; four are a broken or a crowded
# host, and a night of them helps nobody.
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
        research(night, chosen.open(_workplace(night)), limits)
        return night


def _workplace(night: Night) -> Workplace:
    def stop() -> str | None:
        night.interrupts.check()
        if why := night.interrupts.why_stop():
            return why
        return "the time is up" if night.seconds_left() == 0.0 else None

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
    mind = Lookahead(agent, campaign, depth=night.settings.lookahead, check=night.interrupts.check)
    try:
        while (why := _why_stop(night, limits, first)) is None:
            _refuse_a_full_disk(night)
            pending = _next_proposal(night, mind)
            if not _wait_for_the_card(night):
                why = night.interrupts.why_stop() or "the time is up and the GPU is still in use"
                break
            _think_ahead(night, mind, pending, _wanted(night, limits, first, pending))
            _react(night, run_experiment(night, pending))
    except NoMoreIdeas:
        why = "the agent has no more ideas"
    except NightEnds as end:
        why = str(end)
    except StopNow:
        why = "you asked to stop at once; the unfinished experiment is run again on resume"
    finally:
        conclude(night)
    _say_how_it_ended(night, why)


def _next_proposal(night: Night, mind: Lookahead) -> Pending:
    """What to run next: what was interrupted, what was lost, what is undecided, the baseline, or a new idea."""
    campaign, ledger = night.campaign, night.campaign.ledger
    number = len(ledger.records) + 1
    if pending := campaign.pending():
        return pending
    if again := _spoilt(campaign):
        return campaign.store_pending(again)
    if candidate := open_candidate(ledger.records):
        return campaign.store_pending(campaign.run_again(candidate, kind=CONFIRM))
    if len(ledger.baselines()) < campaign.facts.noise_runs:
        return campaign.store_pending(night.baseline(number))
    decision = _decide(night, ablate_every=night.settings.ablate_every)
    if decision.proposal is not None:  # the lab's own idea
        return campaign.store_pending(
            Pending(
                number,
                CANDIDATE,
                decision.proposal,
                repeats=None,
                agent_s=0.0,
                parent=decision.parent,
            )
        )
    best = ledger.best()
    assert best is not None, "there is a best once the baseline was measured"
    if handed_in := submitted(Inbox(campaign.folder), campaign.workspace.read(best.commit)):
        return campaign.store_pending(
            Pending(number, CANDIDATE, handed_in, repeats=None, agent_s=0.0)
        )
    night.screen.phase("proposing", experiment=number, title="")
    taken = mind.take(lambda on_best: _errand(night, None if on_best else decision))
    pending = campaign.store_pending(
        Pending(
            number,
            CANDIDATE,
            taken.proposal,
            repeats=None,
            agent_s=taken.waited_s,
            parent=taken.parent,
        )
    )
    campaign.drop_ahead(taken.files)
    return pending


def _decide(night: Night, *, ablate_every: int) -> Decision:
    """Where the next candidate starts from, or what the lab itself wants to try."""
    campaign = night.campaign
    return decide(
        campaign.ledger.records,
        strategy=night.settings.strategy,
        ablate_every=ablate_every,
        noise=campaign.noise(),
        read=campaign.workspace.read,
        merge=campaign.workspace.merge,
    )


def _think_ahead(night: Night, mind: Lookahead, pending: Pending, wanted: int | None) -> None:
    """Let the agent prepare the next idea while this one runs."""
    if night.campaign.ledger.best() is None:
        return
    decision = _decide(night, ablate_every=0)
    if decision.proposal is None:
        errand = _errand(night, decision)
        mind.prepare(errand, running=pending.proposal.title, wanted=wanted)


def _errand(night: Night, decision: Decision | None) -> Errand:
    """What to ask the agent: for a change of the decision's parent, or of the best."""
    campaign = night.campaign
    best = campaign.ledger.best()
    assert best is not None, "there is a best once the baseline was measured"
    parent = decision.parent if decision else best.commit
    waiting = [ahead.proposal for ahead in campaign.ahead()]
    pending = campaign.pending()
    if pending and pending.kind == CANDIDATE and pending.repeats is None:
        waiting.append(pending.proposal)
    brief = write_brief(
        campaign.ledger,
        noise=campaign.noise(),
        profile=campaign.facts.profile,
        program=night.program,
        train_py=campaign.workspace.read(parent),
        parent_number=decision.parent_number if decision else None,
        seconds_left=night.seconds_left(),
        folder_of=campaign.folder_of,
        contract=night.contract,
        prepare_py=night.prepare_py,
        notebook=campaign.folder / "notebook.md",
        waiting=waiting,
    )
    return Errand(brief=brief, parent=parent, on_best=parent == best.commit)


def _spoilt(campaign: Campaign) -> Pending | None:
    """The last experiment again, if it says nothing of its idea and deserves another try."""
    records = campaign.ledger.records
    if not records or records[-1].trial.status.says_something:
        return None
    last = records[-1]
    again = campaign.pending_of(last.number)
    before = records[last.repeats - 1] if last.repeats is not None else None
    # What is lost twice in a row may be lost for the idea; that a neighbour came is never its fault.
    if again is None or (before and last.trial.status is before.trial.status is Status.LOST):
        return None
    return replace(again, number=len(records) + 1, repeats=last.number, agent_s=0.0)


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
    status = record.trial.status
    recent = night.campaign.ledger.records[-MOST_LOST_IN_A_ROW:]
    if len(recent) == MOST_LOST_IN_A_ROW and not any(r.trial.status.says_something for r in recent):
        raise _too_many_in_a_row(record)
    if status is Status.LOST:
        wait_for_engine(night.settings, night.bench.engine, night.interrupts, night.screen.say)
        night.bench.engine.reap(campaign=night.campaign.facts.tag)
    elif record.kind == BASELINE and status.says_something and status is not Status.MEASURED:
        raise CampaignError(
            "the baseline could not be measured, so there is nothing to improve on.",
            why=f"{status.value}: {record.trial.reason}",
            do=f"see {night.campaign.folder_of(record.number) / 'train.log'}, mend "
            f"{night.settings.train_file}, and start a new TAG.",
        )


def _too_many_in_a_row(record: Record) -> LabError:
    if record.trial.status is Status.CONTENDED:
        return LabError(
            f"{MOST_LOST_IN_A_ROW} experiments in a row gave no result, this one because the GPU is shared.",
            why=record.trial.reason,
            do="end that process or give the lab a card of its own, then start the same TAG again; "
            "the idea is on disk and is run first.",
        )
    return LabError(
        f"{MOST_LOST_IN_A_ROW} experiments in a row were lost by the lab itself.",
        why=record.trial.reason,
        do="mend the host (`make doctor`), then start the same TAG again.",
    )


def _wait_for_the_card(night: Night) -> bool:
    """Whether the GPU is free; False when the night should end instead."""
    return wait_until_free(
        night.bench.gpu_uuid,
        ours=night.bench.engine.made,
        patience_s=night.seconds_left(),
        say=night.screen.say,
        interrupts=night.interrupts,
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
