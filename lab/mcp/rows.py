"""One experiment as a row of the history that an outsider reads.

Owns    which word its outcome is, and why some experiments are not to be seen
Takes   Pasts, and the Records that they came from
Gives   Rows, and the order that was asked for
Never   reads a file
"""

from __future__ import annotations

import math

from lab.inbox import Refused
from lab.ledger import BASELINE, Record, open_candidate
from lab.mcp import shapes
from lab.prompt import Brief, Past
from lab.show.words import one_line

MOST_TITLE = 120
MOST_REASON = 200  # in a list; an experiment tells all of it


def find_past(brief: Brief, records: list[Record], number: int) -> Past:
    """The experiment of that number.

    Raises:
        Refused: it says nothing of its own; the reason says what to ask for.
    """
    for past in brief.history:
        if past.number == number:
            return past
    if 1 <= number <= len(records):
        record = records[number - 1]
        if record.original is not None:
            raise Refused(f"experiment {number} runs {record.original} again; ask for that one.")
        raise Refused(f"experiment {number} was spoilt by the host and says nothing of its idea.")
    raise Refused(f"there is no experiment {number}; there are {len(records)} so far.")


def row_of(past: Past, records: list[Record]) -> shapes.Row:
    """One experiment, its outcome in one word."""
    undecided = open_candidate(records)
    if past.status != "measured":
        outcome = past.status
    elif past.kind == BASELINE:
        outcome = BASELINE
    elif undecided is not None and undecided.number == past.number:
        outcome = "undecided"
    else:
        outcome = "kept" if past.kept else "discarded"
    return shapes.Row(
        number=past.number,
        outcome=outcome,
        title=one_line(past.title, MOST_TITLE),
        val_bpb=past.val_bpb,
        gain_bpb=past.gain_bpb,
        reason=one_line(past.reason, MOST_REASON),
    )


def fits(past: Past, row: shapes.Row, outcome: str) -> bool:
    """Whether it had the outcome that was asked for."""
    if outcome == "failed":
        return past.status != "measured"
    return outcome in ("any", row.outcome)


def sort_key(value: float | None, descending: bool) -> float:
    """What has no score comes last, whichever way."""
    if value is None:
        return math.inf
    return -value if descending else value
