"""Agents: whatever proposes the next train.py.

    offline    needs nothing: mutations of train.py from a seeded catalogue
    scripted   replays files, for tests and demonstrations
    model      a language model, by one of lab/agents/providers
    command    waits for what a coding assistant in a jail submits
    human      waits for what a person or an MCP client submits

An agent sees a Brief and gives a Proposal. It never runs anything and never sees a path of the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lab.prompt import Brief

# In Proposal.facts and Record.facts: the numbers of the conversations that its cost is for, in digits. Usually
# one; more where earlier ones gave a proposal that came to nothing.
TRANSCRIPT_FACT = "transcript"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One idea, as a whole new train.py."""

    title: str  # one line, what was changed
    hypothesis: str  # why it should lower val_bpb
    train_py: str
    agent: str  # which agent, with its model where it has one
    facts: dict[str, str] = field(
        default_factory=dict
    )  # the agent's own notes, given back in Past.facts
    cost_usd: float | None = None  # None when it cost nothing that can be counted
    tokens: int | None = None  # of the model's, prompt and reply; None without a model


def transcripts_of(facts: Mapping[str, str]) -> set[int]:
    """The conversations that the cost of a proposal with these facts is for; empty where there was none."""
    return {int(word) for word in facts.get(TRANSCRIPT_FACT, "").split() if word.isdecimal()}


class NoMoreIdeas(Exception):
    """The agent has nothing left to propose; the night ends here, well."""


class NightEnds(Exception):
    """The agent stops before it has a proposal, and nothing is wrong: the money is spent, the time is up,
    or a person asked for it. The text says which, as the end of the sentence "the night ends: ...".
    """


class Agent(Protocol):
    """One method: read the brief, propose one change.

    `propose` is called once an experiment and may take as long as it needs.

    Raises:
        NoMoreIdeas: nothing is left to try.
        NightEnds: a limit was reached, or a person wants to stop.
        AgentError: the agent cannot go on and a retry would not help.
    """

    name: str
    thinks_ahead: bool  # takes long enough that it is asked while an experiment runs

    def propose(self, brief: Brief) -> Proposal: ...
