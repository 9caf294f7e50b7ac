"""What code came from what, and which of it is worth building upon.

Owns    which measured code is sound, and what its score is taken to be
Takes   Records, and the noise
Gives   Nodes, by commit
Never   decides what is kept or tried
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.ledger import AUDIT, BASELINE, CANDIDATE, CONFIRM, Record
from lab.verdict import Noise

LAB = "lab"  # the agent of what the lab itself puts forward; its facts say what that is, under this name
ABLATION = "ablation"
COMBINATION = "combination"

# A near miss scored at most so many standard errors of the difference above its parent.
NEAR_SD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Code that was measured, is decided, and may be built upon."""

    number: int  # the candidate's; of the seed, its last baseline's
    commit: str
    parent: str | None  # the commit it changed; None for the seed
    title: str
    kept: bool  # it was the best once
    believed_bpb: float  # what its score is taken to be
    believed_gain_bpb: float  # over its parent, positive is better
    tries: int  # candidates that started from it
    ablation: bool = False


def nodes_of(records: Sequence[Record], noise: Noise | None) -> dict[str, Node]:
    """All code worth building upon, by commit: the seed, what was kept, and near misses.

    A change is believed to gain less than it scored, as if one more run of it had gained nothing: of many
    first runs the best was lucky. What was kept was measured for that, and is taken at its word.
    """
    scores = scores_by_commit(records)
    tries = Counter(
        r.parent for r in records if r.kind == CANDIDATE and r.trial.status.says_something
    )
    nodes = _seed(records, scores, tries)
    kept, unfit = _kept(records), _unfit(records)
    carried = _carried(records, kept)
    for record in records:
        commit, parent = record.commit, nodes.get(record.parent or "")
        if record.kind != CANDIDATE or commit not in scores or parent is None:
            continue
        if record.number in unfit:
            continue
        own, before = scores[commit], scores[parent.commit]
        gain = statistics.fmean(before) - statistics.fmean(own)
        if record.number not in kept:
            error = noise.sd_bpb * math.sqrt(1 / len(before) + 1 / len(own)) if noise else -1.0
            if commit not in carried and (error < 0 or gain < -NEAR_SD * error):
                continue
            gain *= len(own) / (len(own) + 1)
        nodes[commit] = Node(
            number=record.number,
            commit=commit,
            parent=parent.commit,
            title=record.title,
            kept=record.number in kept,
            believed_bpb=statistics.fmean(own)
            if record.number in kept
            else parent.believed_bpb - gain,
            believed_gain_bpb=gain,
            tries=tries[commit],
            ablation=record.agent == LAB and record.facts.get(LAB) == ABLATION,
        )
    return nodes


def scores_by_commit(records: Sequence[Record]) -> dict[str, list[float]]:
    """The runs that count of all measured code: its re-runs, else its first run; for the seed its baselines."""
    first: dict[str, list[float]] = {}
    again: dict[str, list[float]] = {}
    baselines: list[float] = []
    for record in records:
        if record.commit is None or record.trial.val_bpb is None:
            continue
        if record.kind == BASELINE:
            baselines.append(record.trial.val_bpb)
            first[record.commit] = baselines  # each of its runs is a commit of its own
        elif record.kind == CANDIDATE:
            first.setdefault(record.commit, [record.trial.val_bpb])
        elif record.kind == CONFIRM:
            again.setdefault(record.commit, []).append(record.trial.val_bpb)
    return first | again


def gains_over_parent(records: Sequence[Record]) -> dict[int, float]:
    """What each measured candidate gained over the code that it changed, whatever was the best then."""
    scores = scores_by_commit(records)
    return {
        r.number: statistics.fmean(scores[r.parent]) - statistics.fmean(scores[r.commit])
        for r in records
        if r.kind == CANDIDATE and r.commit in scores and r.parent in scores
    }


def _seed(
    records: Sequence[Record], scores: Mapping[str, list[float]], tries: Counter[str | None]
) -> dict[str, Node]:
    runs = [r for r in records if r.kind == BASELINE and r.commit in scores]
    commits = {r.commit for r in runs if r.commit is not None}
    if not runs or runs[-1].commit is None:
        return {}
    seed = Node(
        number=runs[-1].number,
        commit=runs[-1].commit,
        parent=None,
        title=runs[-1].title,
        kept=True,
        believed_bpb=statistics.fmean(scores[runs[-1].commit]),
        believed_gain_bpb=0.0,
        tries=sum(tries[commit] for commit in commits),
    )
    return dict.fromkeys(commits, seed)


def _kept(records: Sequence[Record]) -> set[int]:
    return {r.original for r in records if r.verdict.keep and r.original is not None}


def _carried(records: Sequence[Record], kept: set[int]) -> set[str]:
    """What a kept candidate was built upon stays in sight, though the noise may have turned out smaller."""
    parents = {r.commit: r.parent for r in records if r.kind == CANDIDATE}
    carried: set[str] = set()
    for number in kept:
        commit = records[number - 1].parent
        while commit is not None and commit not in carried:
            carried.add(commit)
            commit = parents.get(commit)
    return carried


def _unfit(records: Sequence[Record]) -> set[int]:
    """Candidates not to build upon: a later run failed or its audit did, a keep has no audit, or it is open."""
    unfit: set[int] = set()
    open_: dict[int, bool] = {}
    for record in records:
        number, trial = _candidate_of(records, record), record.trial
        if not trial.status.says_something:
            continue
        audited = trial.audit is not None and trial.audit.passed
        if trial.val_bpb is None or (trial.audit and not audited):
            unfit.add(number)
        if record.verdict.keep and not audited:
            unfit.add(number)
        if record.kind != AUDIT:
            open_[number] = record.verdict.confirm
    return unfit | {number for number, is_open in open_.items() if is_open}


def _candidate_of(records: Sequence[Record], record: Record) -> int:
    """The candidate or baseline whose code this is: an audit may be of a re-run."""
    while record.original is not None:
        record = records[record.original - 1]
    return record.number


def ancestry(nodes: Mapping[str, Node], commit: str) -> Iterator[Node]:
    """The code of this commit and all that it came from, the seed last."""
    node = nodes.get(commit)
    while node is not None:
        yield node
        node = nodes.get(node.parent) if node.parent is not None else None
