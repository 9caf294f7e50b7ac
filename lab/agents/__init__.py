"""Agents: whatever proposes the next train.py.

    offline    needs nothing: mutations of train.py from a seeded catalogue
    scripted   replays files, for tests and demonstrations
    human      waits for what a person or an MCP client submits

An agent sees a Brief and gives a Proposal. It never runs anything and never sees a path of the host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from lab.prompt import Brief


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


class NoMoreIdeas(Exception):
    """The agent has nothing left to propose; the night ends here, well."""


class NothingYet(Exception):
    """The agent waited, and stopped waiting because the night may want to end; ask again if it does not."""


class Agent(Protocol):
    """One method: read the brief, propose one change.

    `propose` is called once an experiment and may take as long as it needs.

    Raises:
        NoMoreIdeas: nothing is left to try.
        NothingYet: it waited for somebody, and the night wants to end.
        AgentError: the agent cannot go on and a retry would not help.
    """

    name: str

    def propose(self, brief: Brief) -> Proposal: ...
