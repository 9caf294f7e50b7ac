"""Ideas that are prepared while the device works, so that it never waits for a model that thinks.

Owns    the thread in which the agent thinks, and what it has ready
Takes   briefs, written when an experiment begins
Gives   proposals, on top of what is best by the time they are taken
Never   lets two calls of the agent overlap, loses a proposal that was paid for, or waits for longer than somebody wants

A proposal made while experiment k runs does not know how k ends. When k is kept, the proposal is carried over
to the new best by a three-way merge; what conflicts is proposed anew. Everything that is ready is on the disk.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.agents import TRANSCRIPT_FACT, Agent, NoMoreIdeas, Proposal, transcripts_of
from lab.agents.similar import find_earlier
from lab.campaign import Campaign
from lab.contract import ContractBroken, check
from lab.prompt import Brief, UnderWay
from lab.waiting import Ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What an agent is asked for: a change of one file."""

    brief: Brief
    parent: str  # commit of that file
    on_best: bool  # which is the best there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A proposal, ready to be run."""

    proposal: Proposal
    parent: str | None  # None: the best
    waited_s: float  # in which nothing ran
    files: tuple[str, ...]  # of ahead/, to be dropped once the proposal is on its way


class Lookahead:
    """One agent, and what it has ready. With `depth` 0 it is asked only when somebody waits."""

    def __init__(
        self,
        agent: Agent,
        campaign: Campaign,
        *,
        depth: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`check` is called while somebody waits, and raises when he does not want to."""
        self._agent = agent
        self._campaign = campaign
        self._check = check
        self._depth = depth if agent.thinks_ahead else 0
        self._ready = campaign.ahead()
        self._failed: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._dropped: list[Proposal] = []  # paid for, and not run

    def prepare(self, errand: Errand, *, running: UnderWay, wanted: int | None) -> None:
        """Think of what comes after the experiment that begins now; returns at once.

        `running` is that one. `wanted` is how many more ideas this night can still use; None for any number.
        """
        if self.has_room(wanted):
            with self._changed:
                count = self._room(wanted) - len(self._ready)
            self._start(errand, running, count)

    def _start(self, errand: Errand, running: UnderWay | None, count: int) -> None:
        self._thread = threading.Thread(
            target=self._think, args=(errand, running, count), name="agent", daemon=True
        )
        self._thread.start()

    def has_room(self, wanted: int | None) -> bool:
        """Whether the agent could prepare something now."""
        with self._changed:
            idle = not self._is_thinking() and self._failed is None
            return idle and len(self._ready) < self._room(wanted)

    def _room(self, wanted: int | None) -> int:
        return self._depth if wanted is None else min(self._depth, wanted)

    def take(self, errand: Callable[[bool], Errand]) -> Taken:
        """The next idea; waits for it, or asks for it, where none is ready.

        `errand(False)` is what the strategy wants; `errand(True)` a change of the best, for an agent that has
        no idea for anything else.

        Raises:
            Whatever the agent raised.
        """
        began = time.monotonic()
        files: list[str] = []
        while True:
            ready = self._next()
            ahead = ready or self._ask(errand)
            files += [ahead.file] if ahead.file else []
            proposal = rebase(self._campaign, ahead)
            if proposal and not (ready and self._was_run(proposal, errand(True).brief)):
                return Taken(
                    proposal=self._with_costs(proposal),
                    parent=None if ahead.on_best else ahead.base,
                    waited_s=time.monotonic() - began,
                    files=tuple(files),
                )
            self._dropped.append(ahead.proposal)

    def _was_run(self, proposal: Proposal, brief: Brief) -> bool:
        """Whether its file was run since it was thought of: handed in meanwhile, or made by the merge."""
        match = find_earlier(
            proposal.train_py,
            base=proposal.train_py,
            history=brief.history,
            code_of=brief.code_of,
            digests={},
        )
        return match is not None

    def _ask(self, make: Callable[[bool], Errand]) -> Ahead:
        errand = make(False)
        try:
            return self._answer(errand)
        except NoMoreIdeas:
            if errand.on_best:
                raise
            return self._answer(make(True))

    def _answer(self, errand: Errand) -> Ahead:
        """What the agent proposes now; in its thread, too, so that who waits can be heard."""
        self._start(errand, running=None, count=1)
        answer = self._next()
        assert answer is not None, "the thread leaves an idea or an error"
        return answer

    def _next(self) -> Ahead | None:
        """What is ready, or what the agent is just thinking of; None when it does neither."""
        with self._changed:
            while not self._ready and self._failed is None and self._is_thinking():
                self._changed.wait(timeout=0.25)
                self._check()
            if self._ready:
                return self._ready.pop(0)
            if self._failed is not None:
                failed, self._failed = self._failed, None
                raise failed
            return None

    def _is_thinking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _think(self, errand: Errand, running: UnderWay | None, count: int) -> None:
        brief, before = errand.brief, [running] if running else []
        with self._changed:
            known = [ahead.proposal for ahead in self._ready]
        try:
            for _ in range(count):
                waiting = _in_line(known, first=brief.number + len(before))
                proposal = self._agent.propose(
                    dataclasses.replace(brief, ahead=(*before, *waiting))
                )
                brief = dataclasses.replace(brief, proposal=brief.proposal + 1)
                known.append(proposal)
                ahead = self._keep(proposal, errand)
                with self._changed:
                    self._ready.append(ahead)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 (it is raised again where somebody can act on it)
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _keep(self, proposal: Proposal, errand: Errand) -> Ahead:
        """The proposal as one that waits. What took long and cost money is written down, whoever still waits for it."""
        if self._agent.thinks_ahead:
            return self._campaign.store_ahead(proposal, base=errand.parent, on_best=errand.on_best)
        return Ahead(proposal=proposal, base=errand.parent, on_best=errand.on_best, file=None)

    def _with_costs(self, proposal: Proposal) -> Proposal:
        """Count what was paid for proposals that came to nothing with the one that is run."""
        paid, self._dropped = [proposal, *self._dropped], []
        costs = [p.cost_usd for p in paid if p.cost_usd is not None]
        tokens = [p.tokens for p in paid if p.tokens is not None]
        talks = sorted({number for p in paid for number in transcripts_of(p.facts)})
        said = {TRANSCRIPT_FACT: " ".join(map(str, talks))} if talks else {}
        return dataclasses.replace(
            proposal,
            facts={**proposal.facts, **said},
            cost_usd=sum(costs) if costs else None,
            tokens=sum(tokens) if tokens else None,
        )


def _in_line(ideas: Sequence[Proposal], *, first: int) -> list[UnderWay]:
    return [
        UnderWay(number=number, title=idea.title, train_py=idea.train_py, facts=idea.facts)
        for number, idea in enumerate(ideas, start=first)
    ]


def rebase(campaign: Campaign, ahead: Ahead) -> Proposal | None:
    """The proposal as a change of today's best; None when it conflicts, or changes nothing any more."""
    best = campaign.ledger.best()
    assert best is not None, "there is a best once the baseline was measured"
    proposal = ahead.proposal
    if not ahead.on_best or ahead.base == best.commit:
        return proposal
    today = campaign.workspace.read(best.commit)
    merged = campaign.workspace.merge(
        base=campaign.workspace.read(ahead.base), ours=today, theirs=proposal.train_py
    )
    if merged is None or merged == today:
        return None
    try:
        check(merged)
    except ContractBroken:
        return None
    return dataclasses.replace(proposal, train_py=merged)
