"""What a score leads to, given every record before it: asked by the night, and again by whoever verifies one.

Owns    how the rule is applied to a run: against which best, with which noise, at which price
Takes   the records so far, the campaign's rule, what the run was
Gives   a Verdict, and the Plan of an audit
Never   reads a file, so that the same records give the same answer anywhere

It is asked twice, of the same function: before the audit, which only a score that leads somewhere is worth,
and after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.findings import Plan
from lab.gate import Training
from lab.ledger import (
    AUDIT,
    BASELINE,
    REPLAY,
    Record,
    best_of,
    noise_of,
    reruns_of,
    scores_of,
    tolerance_of,
)
from lab.outcome import Status
from lab.trial import Trial
from lab.verdict import (
    Change,
    Noise,
    Rule,
    Verdict,
    accept_baseline,
    note_replay,
    refuse,
    screen,
    settle,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run before the rule: all that is looked at beside its score."""

    past: Sequence[Record]  # every record before it
    rule: Rule
    prior: Noise | None
    kind: str
    original: int | None  # the candidate that a re-run is of
    net_lines: int | None  # of code, against the best; None for what never became code


def decide(case: Case, trial: Trial) -> Verdict:
    """The verdict on a run that has ended, however it ended."""
    best = best_of(case.past)
    if trial.status is not Status.MEASURED or trial.val_bpb is None:
        return refuse(
            f"{trial.status.value}: {trial.reason}", best_bpb=best.val_bpb if best else None
        )
    if case.kind == BASELINE:
        return accept_baseline(trial.val_bpb)
    if case.kind == REPLAY:
        return note_replay(trial.val_bpb)
    if case.kind == AUDIT:
        return refuse(f"an audit of {case.original}", best_bpb=None)
    verdict = weigh(case, trial.val_bpb, trial.training)
    if verdict and (verdict.keep or verdict.confirm) and not (trial.audit and trial.audit.passed):
        return refuse("its claim was not audited", best_bpb=verdict.best_bpb)
    return verdict or refuse("there is no baseline to compare it with", best_bpb=None)


def doubt(case: Case, val_bpb: float, training: Training | None) -> Plan | None:
    """How to audit a claim: everything that something would follow from, and whatever is asked for."""
    tolerance = tolerance_of(case.past)
    if case.kind in (BASELINE, REPLAY):
        return Plan(tolerance_nats=tolerance, holdout=True)
    verdict = weigh(case, val_bpb, training)
    if case.kind == AUDIT or verdict is None:
        return Plan(tolerance_nats=tolerance, holdout=False)
    if verdict.keep or verdict.confirm:
        return Plan(tolerance_nats=tolerance, holdout=verdict.keep)
    return None


def weigh(case: Case, val_bpb: float, training: Training | None) -> Verdict | None:
    """What this score would lead to; None without a baseline."""
    best, original = best_of(case.past), case.original
    noise = noise_of(case.past, case.prior, also=(original, val_bpb) if original else None)
    if best is None or noise is None:
        return None
    assert case.net_lines is not None, "what has a score became code"
    change = Change(
        net_lines=case.net_lines, memory_bytes=training.peak_memory_bytes if training else None
    )
    if original is None:
        return screen(case.rule, val_bpb=val_bpb, best=best.bar, noise=noise, change=change)
    reruns = [*scores_of(reruns_of(case.past, original)), val_bpb]
    return settle(case.rule, reruns=reruns, best=best.bar, noise=noise, change=change)
