"""Proposals that are on disk and not in the ledger: what runs next, and what was thought of ahead.

Owns    how they lie in a campaign's folder
Takes   the folder, and the Records, which say what of it has had its turn
Gives   Pending and Ahead, or both as what is under way
Never   opens the campaign: whoever only looks may read them, too
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.agents import Proposal, transcripts_of
from lab.ledger import Record
from lab.prompt import UnderWay


@dataclass(frozen=True, slots=True)
class Pending:
    """A proposal that is on disk and not in the ledger: it is run, or run again, next."""

    number: int
    kind: str
    proposal: Proposal
    repeats: int | None
    agent_s: float
    original: int | None = (
        None  # the experiment whose code it runs again, for "confirm" and "audit"
    )
    parent: str | None = None  # the commit that it changes; None is the best


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """A proposal that was made while another experiment ran, on top of what was best then."""

    proposal: Proposal
    base: str  # commit of what it changes
    on_best: bool  # which was the best there was; else it was chosen for itself
    file: str | None  # in ahead/; None when it was not made ahead


AHEAD = TypeAdapter(Ahead)
PENDING = TypeAdapter(Pending)


def folder_of(campaign: Path, number: int) -> Path:
    """The folder of an experiment."""
    return campaign / "experiments" / f"{number:04d}"


def read_pending(campaign: Path, number: int) -> Pending | None:
    """The proposal of an experiment, as it was written down."""
    try:
        return PENDING.validate_json((folder_of(campaign, number) / "proposal.json").read_bytes())
    except (OSError, ValidationError):  # never written, or torn by the same power cut
        return None


def read_ahead(campaign: Path, records: Sequence[Record]) -> list[Ahead]:
    """The proposals whose turn has not come, oldest first."""
    found = []
    pending = read_pending(campaign, len(records) + 1)
    begun = [record.facts for record in records] + ([pending.proposal.facts] if pending else [])
    paid_for = {number for facts in begun for number in transcripts_of(facts)}
    for path in sorted((campaign / "ahead").glob("*.json")):
        try:
            ahead = AHEAD.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        # Killed between the two writes of taking it: it was run or dropped already, and paid for with that.
        talks = transcripts_of(ahead.proposal.facts)
        same_title = pending is not None and pending.proposal.title == ahead.proposal.title
        if not (talks & paid_for if talks else same_title):
            found.append(ahead)
    return found


def under_way(campaign: Path, records: Sequence[Record]) -> tuple[UnderWay, ...]:
    """What runs or is about to, and what waits, as the files of this moment say."""
    pending = read_pending(campaign, len(records) + 1)
    ideas = [pending.proposal] if pending else []
    ideas += [ahead.proposal for ahead in read_ahead(campaign, records)]
    return tuple(
        UnderWay(number=number, title=idea.title, train_py=idea.train_py, facts=idea.facts)
        for number, idea in enumerate(ideas, start=len(records) + 1)
    )
