"""What a night came to so far, in numbers.

Takes   Records, in the order of the ledger
Gives   a Tally
Never   reads a file, or decides anything: what is kept stands in the Records
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lab.ledger import CANDIDATE, Record, baselines_of, best_of, noise_of, replays_of, scores_of
from lab.show.spent import IDLE, spent_s
from lab.verdict import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a night came to so far."""

    scored: int  # experiments that have a score
    tried: int  # candidates, whatever became of them; not what only the lab or the host spoilt
    kept: int
    baseline_bpb: float | None  # mean of its runs
    best_bpb: float | None  # mean of the re-runs of the last kept one, else the baseline's
    replays: int  # measured runs of another lab's code
    replay_bpb: float | None  # their mean
    noise: Noise | None
    margin_bpb: float | None  # what noise alone asked of the last gain; None before a candidate
    holdout_gain_bpb: (
        float | None
    )  # of the best over the baseline, on text that no decision has seen
    audited: int  # experiments whose claim was audited
    audit_share: float | None  # of the time of all experiments
    took_s: float  # all experiments, waits between them included; see lab/show/spent.py
    idle_share: float | None  # of it: nothing ran, because the agent had no idea ready
    cost_usd: float | None  # of the agent; None where nothing was paid, or nobody knows
    agent_tokens: int | None


def tally(records: Sequence[Record], prior: Noise | None = None) -> Tally:
    """Count a night, from its Records and what `lab noise` knew before it."""
    best = best_of(records)
    baselines, replays = scores_of(baselines_of(records)), scores_of(replays_of(records))
    margins = [
        r.verdict.margin_bpb - (r.verdict.price_bpb or 0.0)  # lines have a price, and no noise
        for r in records
        if r.verdict.margin_bpb is not None
    ]
    total_s = sum(r.trial.total_s for r in records)
    audit_s = sum(r.trial.audit_s or 0.0 for r in records)
    spent = spent_s(records)
    took_s = sum(spent.values())
    # What was spoilt and run again was paid for once.
    paid = [r for r in records if r.kind == CANDIDATE and r.repeats is None]
    costs = [r.cost_usd for r in paid if r.cost_usd is not None]
    tokens = [r.agent_tokens for r in paid if r.agent_tokens is not None]
    return Tally(
        scored=len(scores_of(records)),
        tried=sum(r.kind == CANDIDATE and r.trial.status.says_something for r in records),
        kept=sum(r.verdict.keep for r in records),
        baseline_bpb=statistics.fmean(baselines) if baselines else None,
        best_bpb=best.val_bpb if best else None,
        replays=len(replays),
        replay_bpb=statistics.fmean(replays) if replays else None,
        noise=noise_of(records, prior),
        margin_bpb=margins[-1] if margins else None,
        holdout_gain_bpb=_holdout_gain(records),
        audited=sum(r.trial.audit is not None for r in records),
        audit_share=audit_s / total_s if total_s else None,
        took_s=took_s,
        idle_share=spent[IDLE] / took_s if took_s else None,
        cost_usd=sum(costs) if costs else None,
        agent_tokens=sum(tokens) if tokens else None,
    )


def _holdout_gain(records: Sequence[Record]) -> float | None:
    """How much better the best is than the baseline on the holdout; None before anything was kept."""
    baselines = [r.trial.holdout.bpb for r in baselines_of(records) if r.trial.holdout]
    kept = [r for r in records if r.verdict.keep]
    if not kept or not baselines or kept[-1].trial.holdout is None:
        return None
    return statistics.fmean(baselines) - kept[-1].trial.holdout.bpb
