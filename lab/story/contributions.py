"""What each keep brought: the steps of the waterfall.

Owns    the step of one keep
Takes   Records, or the Rows of an imported table
Gives   Contributions; each begins where the one before it ended
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lab.ledger import Record
from lab.lineage import ABLATION, LAB
from lab.show.words import ending
from lab.story.shapes import Contribution, Row


def contributions_of(records: Sequence[Record], rows: Sequence[Row]) -> tuple[Contribution, ...]:
    """Every keep, from the best before it to the best after it."""
    found = []
    for index, (record, row) in enumerate(zip(records, rows, strict=True)):
        before = rows[index - 1].best_bpb if index else None
        if ending(record) != "keep" or record.original is None:
            continue
        # Its own re-runs are not yet the best's, so the row before still tells the best before it.
        if before is None or row.best_bpb is None:
            continue
        candidate = records[record.original - 1] if record.original <= len(records) else record
        found.append(
            Contribution(
                number=candidate.number,
                decided_at=record.number,
                title=rows[candidate.number - 1].title,
                from_bpb=before,
                to_bpb=row.best_bpb,
                ablation=candidate.agent == LAB and candidate.facts.get(LAB) == ABLATION,
            )
        )
    return tuple(found)


def contributions_of_imported(rows: Sequence[Row]) -> tuple[Contribution, ...]:
    """Every keep that became the best; one that an older best still beats brought nothing."""
    found = []
    for before, row in itertools.pairwise(rows):
        if row.ending != "keep" or before.best_bpb is None or row.best_bpb is None:
            continue
        if row.score_bpb == row.best_bpb:
            found.append(
                Contribution(
                    number=row.original or row.number,
                    decided_at=row.number,
                    title=row.title,
                    from_bpb=before.best_bpb,
                    to_bpb=row.best_bpb,
                    ablation=False,
                )
            )
    return tuple(found)
