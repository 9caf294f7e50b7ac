"""What came from what: every idea as a branch of the tree that begins at the seed.

Owns    the tree, and which of it led to today's best
Takes   Records and their Rows
Gives   Branches, the seed first
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from lab.ledger import BASELINE, CANDIDATE, CONFIRM, Record, best_of
from lab.lineage import scores_by_commit
from lab.show.words import ending
from lab.story.shapes import Branch, Row

SEED = 0  # the number of the seed, whose baselines have several


def branches_of(records: Sequence[Record], rows: Sequence[Row]) -> tuple[Branch, ...]:
    """The seed, and every candidate that says something; its ending is the last of its re-runs."""
    baselines = [record for record in records if record.kind == BASELINE]
    if not baselines:
        return ()
    candidates = [r for r in records if r.kind == CANDIDATE and r.trial.status.says_something]
    numbers = {r.commit: SEED for r in baselines if r.commit}
    numbers |= {r.commit: r.number for r in reversed(candidates) if r.commit}
    parents = {r.number: _parent(r, numbers) for r in candidates}
    path = _path(records, parents)
    endings, scores = _endings(records), scores_by_commit(records)
    means = {commit: statistics.fmean(scores[commit]) for commit in numbers if commit in scores}
    seed = Branch(
        number=SEED,
        parent=None,
        title=rows[baselines[0].number - 1].title,
        ending=BASELINE,
        score_bpb=next((means[r.commit] for r in baselines if r.commit in means), None),
        on_path=SEED in path,
    )
    return seed, *(
        Branch(
            number=candidate.number,
            parent=parents[candidate.number],
            title=rows[candidate.number - 1].title,
            ending=endings[candidate.number],
            score_bpb=_score(candidate, means),
            on_path=candidate.number in path,
        )
        for candidate in candidates
    )


def _score(candidate: Record, means: dict[str, float]) -> float | None:
    if candidate.trial.val_bpb is None or candidate.commit is None:
        return None
    return means.get(candidate.commit)


def _parent(candidate: Record, numbers: dict[str, int]) -> int | None:
    """Only what came before it: a commit that names itself or a later one is no parent."""
    number = numbers.get(candidate.parent or "")
    return number if number is not None and number < candidate.number else None


def _endings(records: Sequence[Record]) -> dict[int, str]:
    endings: dict[int, str] = {}
    for record in records:
        if not record.trial.status.says_something:
            continue
        if record.kind == CANDIDATE:
            endings[record.number] = ending(record)
        elif record.kind == CONFIRM and record.original is not None:
            endings[record.original] = ending(record)
    return endings


def _path(records: Sequence[Record], parents: dict[int, int | None]) -> set[int]:
    """The best and all that it came from. Parents have lower numbers, so this ends."""
    best = best_of(records)
    if best is None:
        return set()
    number: int | None = records[best.number - 1].original or SEED
    path: set[int] = set()
    while number is not None:
        path.add(number)
        number = parents.get(number)
    return path
