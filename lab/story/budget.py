"""The bar of where a night's time went.

Owns    nothing: what belongs where is for lab/show/spent.py to say
Takes   Records
Gives   Shares, which add up to the whole
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.ledger import Record
from lab.show.spent import spent_s
from lab.story.shapes import Share


def budget_of(records: Sequence[Record]) -> tuple[Share, ...]:
    """The whole time by its parts; empty before the first record."""
    if not records:
        return ()
    return tuple(Share(name=name, seconds=seconds) for name, seconds in spent_s(records).items())
