"""An agent that is a person, or any program, at another terminal: `lab submit`, or an MCP client.

Nothing is remembered between calls: what was run already stands in the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.agents import NightEnds, Proposal
from lab.agents.similar import why_repeated
from lab.inbox import TICKET_FACT, Inbox, Repeats, nothing_repeats
from lab.prompt import Brief

LOOK_EVERY_S = 0.5  # a Ctrl-C is answered within this


class HumanAgent:
    """Waits for the inbox, however long it takes."""

    name = "human"
    thinks_ahead = False  # what was handed in is taken when its turn comes

    def __init__(self, inbox: Inbox, stop: Callable[[], str | None]) -> None:
        """`stop` says why the night should end, None to wait on; it is asked twice a second."""
        self._inbox = inbox
        self._stop = stop

    def propose(self, brief: Brief) -> Proposal:
        """The oldest submission.

        Raises:
            NightEnds: it should end, and nothing was submitted.
        """
        while (why := self._stop()) is None:
            if proposal := submitted_to(self._inbox, brief):
                return proposal
            time.sleep(LOOK_EVERY_S)
        raise NightEnds(why)


def submitted_to(inbox: Inbox, brief: Brief) -> Proposal | None:
    """The oldest submission that is new, as a Proposal for this Brief; None when nothing waits."""
    return submitted(inbox, brief.train_py, lambda train_py: why_repeated(brief, train_py))


def submitted(inbox: Inbox, best: str, repeats: Repeats = nothing_repeats) -> Proposal | None:
    """The oldest submission as a Proposal on top of the file `best`; None when nothing waits."""
    submission = inbox.next(best, repeats)
    if submission is None:
        return None
    return Proposal(
        title=submission.title,
        hypothesis=submission.hypothesis,
        train_py=submission.train_py,
        agent=submission.author,
        facts={TICKET_FACT: str(submission.ticket)},
    )
