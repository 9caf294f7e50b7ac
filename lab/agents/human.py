"""An agent that is a person, or any program, at another terminal: `lab submit`, or an MCP client.

Nothing is remembered between calls: what was run already stands in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.agents import NothingYet, Proposal
from lab.inbox import TICKET_FACT, Inbox
from lab.prompt import Brief

LOOK_EVERY_S = 0.5  # a Ctrl-C is answered within this


class HumanAgent:
    """Waits for the inbox, however long it takes."""

    name = "human"

    def __init__(self, inbox: Inbox, stop: Callable[[], bool]) -> None:
        """`stop` says whether the night wants to end; it is asked twice a second while waiting."""
        self._inbox = inbox
        self._stop = stop

    def propose(self, brief: Brief) -> Proposal:
        """The oldest submission.

        Raises:
            NothingYet: the night wants to end and nothing was submitted.
        """
        while not self._stop():
            if proposal := submitted(self._inbox, brief.train_py):
                return proposal
            time.sleep(LOOK_EVERY_S)
        raise NothingYet


def submitted(inbox: Inbox, best: str) -> Proposal | None:
    """The oldest submission as a Proposal on top of the file `best`; None when nothing waits."""
    submission = inbox.next(best)
    if submission is None:
        return None
    return Proposal(
        title=submission.title,
        hypothesis=submission.hypothesis,
        train_py=submission.train_py,
        agent=submission.author,
        facts={TICKET_FACT: str(submission.ticket)},
    )
