"""The agent that asks a language model.

Owns    what becomes of a conversation: a Proposal, a stand-in, or the end of the night
Takes   a provider, caps and a price, and who stands in when the model has nothing to give
Gives   Proposals, with what they cost
Never   shows a model more than the Brief, and never lets a silent model end, empty or hold up a night
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lab.agents import TRANSCRIPT_FACT, Agent, NightEnds, NoMoreIdeas, Proposal
from lab.agents.asking import NoAnswer, Patience, Surroundings
from lab.agents.context import fit_brief, write_system
from lab.agents.conversation import Conversation, Fruitless
from lab.agents.desk import Desk, Submission
from lab.agents.fence import Fence
from lab.agents.providers import Provider
from lab.agents.room import Limits, Room
from lab.agents.similar import facts_of
from lab.agents.spending import Caps, Price, Spending
from lab.agents.transcript import Transcript, spent_in
from lab.errors import AgentError
from lab.prompt import Brief, Past

# The fact that marks a proposal of the stand-in: why the model gave none.
STAND_IN_FACT = "stands_in"
RESTED = "the model rests"
LEFT_ALONE = "the provider asked to be left alone for a while"

# A model that gave nothing three times in a row is asked only now and then: it may have been a bad hour, but
# a night must neither end for it nor pay for it at every experiment.
FRUITLESS_IN_A_ROW = 3
ASK_EVERY = 8


def keep_no_transcript(number: int) -> Path | None:
    """A `transcript_of` that keeps nothing."""
    return None


class ModelAgent:
    """A language model as the researcher."""

    thinks_ahead = True

    def __init__(
        self,
        provider: Provider,
        *,
        price: Price,
        caps: Caps | None = None,
        limits: Limits | None = None,
        around: Surroundings | None = None,
        stand_in: Agent | None = None,
        patience_s: float | None = None,
        transcript_of: Callable[[int], Path | None] = keep_no_transcript,
        secrets: Sequence[str] = (),
    ) -> None:
        """Set up; nothing is asked yet.

        Args:
            provider: one model of one provider.
            price: what an answer costs.
            caps: of the campaign, and of one proposal in tokens.
            limits: of one proposal.
            around: who may end a waiting, and the clock.
            stand_in: proposes when a conversation gave nothing; None raises AgentError instead.
            patience_s: how long one proposal waits for a silent provider before the stand-in proposes; None, or
                where nobody stands in, as long as the night lasts.
            transcript_of: the transcript's file of the campaign's proposal `number`.
            secrets: what must not stand in a transcript, besides whatever looks like a key.

        Raises:
            BadInput: there is a cap in USD, and the price is not known.
        """
        self.name = f"{provider.name}/{provider.model}"
        self._provider = provider
        self._spending = Spending(caps or Caps(), price)
        self._limits = limits or Limits()
        self._room = Room(self._limits)  # what the provider turned out to take holds all night
        self._around = around or Surroundings()
        self._stand_in = stand_in
        self._patience_s = patience_s
        self._ask_from: float | None = None  # by the clock: what the provider said, if it did
        self._transcript_of = transcript_of
        self._secrets = tuple(secrets)
        self._fence = Fence()
        self._digests: dict[int, str | None] = {}

    def propose(self, brief: Brief) -> Proposal:
        """One change, as the model submitted it; the stand-in's where the model gave none.

        Raises:
            NightEnds: a cap of the campaign is reached, the time is up, or a person wants to stop.
            AgentError: the provider refuses until a person acts, or nobody has a proposal.
        """
        transcript = self._begin(brief)
        if why := self._why_not_asked(brief.history):
            with contextlib.suppress(NoMoreIdeas):
                return self._ask_stand_in(brief, why)
        patience_s = self._patience_s if self._stand_in else None
        while True:
            try:
                return self._ask_model(brief, transcript, patience_s)
            except (Fruitless, NoAnswer) as end:
                why = f"it {end}"
                try:
                    return self._ask_stand_in(brief, why)
                except NoMoreIdeas as none:
                    if isinstance(end, Fruitless):
                        raise self._nobody(why, none) from none
                    patience_s = None  # who is silent may come back, and nobody else has an idea

    def _begin(self, brief: Brief) -> Transcript:
        path = self._transcript_of(brief.proposal)
        transcript = Transcript(path, secrets=self._secrets)
        transcript.mend()
        again_usd, again_tokens = spent_in(path)
        self._spending.begin(
            spent_usd=brief.spent_usd,
            spent_tokens=brief.spent_tokens,
            again_usd=again_usd,
            again_tokens=again_tokens,
        )
        return transcript

    def _why_not_asked(self, history: Sequence[Past]) -> str | None:
        """Why the model is not asked this time; None when it is."""
        if self._stand_in is None:
            return None
        if (
            self._ask_from is not None
        ):  # and once that is over, it is asked, however often it gave nothing
            return LEFT_ALONE if self._around.clock() < self._ask_from else None
        return RESTED if _rests(history) else None

    def _ask_model(
        self, brief: Brief, transcript: Transcript, patience_s: float | None
    ) -> Proposal:
        """The model's own proposal.

        Raises:
            Fruitless: it gave none.
            NoAnswer: its provider is silent.
            NightEnds, AgentError: as `propose`.
        """
        patience = Patience(self._around, seconds_left=brief.seconds_left, patience_s=patience_s)
        desk = Desk(brief, self._fence, self._digests)
        try:
            if self._ask_from is not None:
                patience.wait_until(self._ask_from)
                self._ask_from = None
            submission = self._talk(brief, desk, patience, transcript)
        except NightEnds as end:
            transcript.write("ended", {"why": str(end)})
            raise
        except (Fruitless, NoAnswer) as end:
            transcript.write("ended", {"why": str(end)})
            if isinstance(end, NoAnswer) and end.ask_again_s is not None:
                self._ask_from = self._around.clock() + end.ask_again_s
            # What the model drafted was paid for, and a run of it costs no more money.
            salvaged = desk.salvage()
            if salvaged is None:
                raise
            submission = salvaged
        return self._proposal(brief, submission)

    def _talk(
        self, brief: Brief, desk: Desk, patience: Patience, transcript: Transcript
    ) -> Submission:
        budget = self._spending.left()
        conversation = Conversation(
            self._provider,
            system=write_system(brief, self._fence),
            write_brief=lambda count, most: fit_brief(
                brief, self._fence, count=count, most_tokens=most, budget=budget
            ),
            steady=brief.train_py.strip(),
            desk=desk,
            spending=self._spending,
            patience=patience,
            transcript=transcript,
            limits=self._limits,
            room=self._room,
        )
        return conversation.run()

    def _proposal(self, brief: Brief, submission: Submission) -> Proposal:
        return Proposal(
            title=submission.title,
            hypothesis=submission.hypothesis,
            train_py=submission.train_py,
            agent=self.name,
            facts={
                **facts_of(brief.train_py, submission.train_py),
                "expected_effect": submission.expected_effect,
                TRANSCRIPT_FACT: str(brief.proposal),
            },
            cost_usd=self._spending.usd,
            tokens=self._spending.tokens,
        )

    def _ask_stand_in(self, brief: Brief, why: str) -> Proposal:
        """A proposal that needs no model, so that the device does not idle for a model's bad hour.

        Raises:
            NoMoreIdeas: there is nobody, or he has none.
        """
        if self._stand_in is None:
            raise NoMoreIdeas("nobody stands in for it")
        self._around.say(f"{self.name}: {why}; the {self._stand_in.name} agent stands in")
        try:
            plain = self._stand_in.propose(brief)
        except NoMoreIdeas as none:
            raise NoMoreIdeas(f"{self._stand_in.name}: {none}") from none
        return replace(
            plain,
            facts={
                **facts_of(brief.train_py, plain.train_py),
                **plain.facts,
                STAND_IN_FACT: why,
                TRANSCRIPT_FACT: str(brief.proposal),
            },
            cost_usd=self._spending.usd,
            tokens=self._spending.tokens,
        )

    def _nobody(self, why: str, none: NoMoreIdeas) -> AgentError:
        return AgentError(
            "the model gave no proposal, and neither did anybody else.",
            why=f"{self.name}: {why}; {none}.",
            do="try another model with the same TAG; finished experiments are kept.",
        )


def _rests(history: Sequence[Past]) -> bool:
    """Whether the model has lately given so little that it is not asked this time."""
    in_a_row = 0
    for past in reversed(history):
        if STAND_IN_FACT not in past.facts:
            break
        in_a_row += 1
    return in_a_row >= FRUITLESS_IN_A_ROW and in_a_row % ASK_EVERY != 0
