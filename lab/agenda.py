"""What is run next, and what is thought of meanwhile.

Owns    the order of precedence: what was begun, what was spoilt, what is undecided, the baseline, the lab's own
        ideas, what was handed in, the agent's next idea
Takes   an open night, and the agent's lookahead
Gives   a Pending proposal, on disk before anything is done with it
Never   runs it
"""

from __future__ import annotations

from dataclasses import replace

from lab.agents import Proposal
from lab.agents.human import submitted
from lab.agents.similar import facts_of, why_repeated
from lab.campaign import Campaign
from lab.history import write_brief
from lab.inbox import Inbox
from lab.ledger import CANDIDATE, CONFIRM, open_candidate
from lab.lookahead import Errand, Lookahead
from lab.night import Night
from lab.notebook import NOTEBOOK_FILE
from lab.notes import read_pinned
from lab.outcome import Status
from lab.prompt import UnderWay
from lab.strategy import Decision, decide
from lab.waiting import Pending


def next_proposal(night: Night, mind: Lookahead) -> Pending:
    """What to run next: what was interrupted, what was lost, what is undecided, the baseline, or a new idea."""
    campaign, ledger = night.campaign, night.campaign.ledger
    number = len(ledger.records) + 1
    if pending := campaign.pending():
        return pending
    if again := spoilt(campaign):
        return campaign.store_pending(again)
    if candidate := open_candidate(ledger.records):
        return campaign.store_pending(campaign.run_again(candidate, kind=CONFIRM))
    if len(ledger.baselines()) < campaign.facts.noise_runs:
        return campaign.store_pending(night.baseline(number))
    decision = _decide(night, ablate_every=night.settings.ablate_every)
    if decision.proposal is not None:  # the lab's own idea
        return _begin(campaign, decision.proposal, parent=decision.parent)
    best = ledger.best()
    assert best is not None, "there is a best once the baseline was measured"
    if handed_in := submitted(
        Inbox(campaign.folder),
        campaign.workspace.read(best.commit),
        lambda train_py: why_repeated(_errand(night, None).brief, train_py),
    ):
        return _begin(campaign, handed_in)
    night.screen.phase("proposing", experiment=number, title="")
    taken = mind.take(lambda on_best: _errand(night, None if on_best else decision))
    pending = _begin(campaign, taken.proposal, parent=taken.parent, agent_s=taken.waited_s)
    campaign.drop_ahead(taken.files)
    return pending


def _begin(
    campaign: Campaign, proposal: Proposal, *, parent: str | None = None, agent_s: float = 0.0
) -> Pending:
    """A new candidate, written down with what it is found again by, whoever proposed it."""
    best = campaign.ledger.best()
    assert best is not None, "there is a best once the baseline was measured"
    # Made here and not where the idea was: a merge onto a new best has made another file of it.
    digests = facts_of(campaign.workspace.read(parent or best.commit), proposal.train_py)
    return campaign.store_pending(
        Pending(
            len(campaign.ledger.records) + 1,
            CANDIDATE,
            replace(proposal, facts={**proposal.facts, **digests}),
            repeats=None,
            agent_s=agent_s,
            parent=parent,
        )
    )


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


def think_ahead(night: Night, mind: Lookahead, pending: Pending, wanted: int | None) -> None:
    """Let the agent prepare the next idea while this one runs; `wanted` as in `Lookahead.prepare`."""
    if not mind.has_room(wanted) or night.campaign.ledger.best() is None:
        return
    decision = _decide(night, ablate_every=0)
    if decision.proposal is None:
        errand = _errand(night, decision)
        running = UnderWay(
            number=pending.number,
            title=pending.proposal.title,
            train_py=pending.proposal.train_py,
            facts=pending.proposal.facts,
        )
        mind.prepare(errand, running=running, wanted=wanted)


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
        notebook=campaign.folder / NOTEBOOK_FILE,
        pinned=read_pinned(campaign.folder),
        waiting=waiting,
    )
    return Errand(brief=brief, parent=parent, on_best=parent == best.commit)


def spoilt(campaign: Campaign) -> Pending | None:
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
