"""What a campaign claims: a gain over its baseline, with the runs that it rests on.

Owns    which runs stand behind a claim
Takes   the facts and Records of a campaign, from this host or another
Gives   a Claim
Never   reads a file. A first run is no claim: of a hundred, the lowest was lucky
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import BadInput
from lab.facts import Facts
from lab.ledger import BASELINE, Record, baselines_of, best_of, noise_of, reruns_of, scores_of
from lab.reproduction import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One experiment of a campaign, and how much better than the baseline it is said to be."""

    facts: Facts
    number: int  # of the candidate, not of a re-run
    title: str
    commit: str
    baseline_commit: str
    runs: Runs
    seeds: frozenset[int]  # that the campaign has used


def best_runs(facts: Facts, records: Sequence[Record]) -> Runs:
    """The baseline and what was kept last; without a keep there are no runs of a best."""
    best = best_of(records)
    number = records[best.number - 1].original if best else None
    return runs_of(facts, records, number)


def runs_of(facts: Facts, records: Sequence[Record], number: int | None) -> Runs:
    """The measured runs of the baseline and the re-runs of candidate `number`."""
    return Runs(
        baseline=tuple(scores_of(baselines_of(records))),
        best=tuple(scores_of(reruns_of(records, number))) if number is not None else (),
        noise=noise_of(records, facts.prior_noise),
    )


def claim_of(facts: Facts, records: Sequence[Record], wanted: int | None) -> Claim:
    """What experiment `wanted` claims; None is the best.

    Raises:
        BadInput: there is no such experiment, or it claims no gain that could be held against anything.
    """
    candidate = _candidate(records, _number_of_best(records) if wanted is None else wanted)
    baselines = baselines_of(records)
    runs = runs_of(facts, records, candidate.number)
    if candidate.kind == BASELINE or not runs.best:
        raise BadInput(
            f"experiment {candidate.number} claims no gain.",
            why="it is the baseline."
            if candidate.kind == BASELINE
            else "it was run once, and a first run is no claim: of many, the lowest was lucky.",
            do="name an experiment that was run again, or `best`.",
        )
    if not baselines or runs.gain_bpb <= 0:
        raise BadInput(
            f"experiment {candidate.number} claims no gain.",
            why="its re-runs are no better than the baseline."
            if baselines
            else "no run of the baseline has a score.",
            do="name another experiment, or `best`.",
        )
    seed_commit, commit = baselines[-1].commit, candidate.commit
    assert seed_commit is not None and commit is not None, "what was measured is code"  # noqa: PT018
    return Claim(
        facts=facts,
        number=candidate.number,
        title=candidate.title,
        commit=commit,
        baseline_commit=seed_commit,
        runs=runs,
        seeds=frozenset(r.trial.seed for r in records if r.trial.seed is not None),
    )


def _number_of_best(records: Sequence[Record]) -> int:
    best = best_of(records)
    if best is None or records[best.number - 1].kind == BASELINE:
        raise BadInput(
            "the campaign kept nothing, so it claims nothing.",
            do="name an experiment that was run again with --experiment.",
        )
    return best.number


def _candidate(records: Sequence[Record], number: int) -> Record:
    if not 1 <= number <= len(records):
        raise BadInput(f"there is no experiment {number}.", why=f"the campaign has {len(records)}.")
    record = records[number - 1]
    while record.original is not None:
        record = records[record.original - 1]
    if record.commit is None:
        raise BadInput(
            f"experiment {number} never became code.", why=record.trial.reason or "it was rejected."
        )
    return record
