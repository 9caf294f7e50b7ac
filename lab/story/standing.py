"""What a campaign came to so far, in numbers.

Owns    the Standing: counts, the gain with its interval, the noise, time and cost
Takes   Records and what `lab noise` knew before them, or the Rows of an imported table
Gives   a Standing
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from lab.ledger import (
    BASELINE,
    CANDIDATE,
    REPLAY,
    Record,
    baselines_of,
    best_of,
    reruns_of,
    scores_of,
)
from lab.outcome import Status
from lab.reproduction import Runs
from lab.show.tally import tally
from lab.story.shapes import Row, Standing
from lab.verdict import Noise, sd_interval

SPOILT = tuple(status.value for status in Status if not status.says_something)


def standing_of(records: Sequence[Record], prior: Noise | None) -> Standing:
    """Count a night."""
    counted = tally(records, prior)
    best = best_of(records)
    low, high = _gain_interval(records, counted.noise)
    noise = counted.noise
    noise_low, noise_high = sd_interval(noise) if noise else (None, None)
    joules = [
        record.trial.telemetry.energy_j
        for record in records
        if record.trial.telemetry and record.trial.telemetry.energy_j is not None
    ]
    return Standing(
        experiments=len(records),
        scored=counted.scored,
        tried=counted.tried,
        kept=counted.kept,
        baseline_bpb=counted.baseline_bpb,
        best_bpb=counted.best_bpb,
        best_experiment=best.number if best else None,
        replays=counted.replays,
        replay_bpb=counted.replay_bpb,
        gain_bpb=_gain(counted.baseline_bpb, counted.best_bpb, counted.kept),
        gain_low_bpb=low,
        gain_high_bpb=high,
        noise_sd_bpb=noise.sd_bpb if noise else None,
        noise_low_bpb=noise_low,
        noise_high_bpb=noise_high,
        margin_bpb=counted.margin_bpb,
        holdout_gain_bpb=counted.holdout_gain_bpb,
        audited=counted.audited,
        idle_share=counted.idle_share,
        cost_usd=counted.cost_usd,
        agent_tokens=counted.agent_tokens,
        energy_j=sum(joules) if joules else None,
        took_s=counted.took_s if records else None,
    )


def standing_of_imported(rows: Sequence[Row]) -> Standing:
    """What a table without times, noise and audits says."""
    baselines = [row for row in rows if row.kind == BASELINE and row.score_bpb is not None]
    replays = [row for row in rows if row.kind == REPLAY and row.score_bpb is not None]
    kept = [row for row in rows if row.ending == "keep"]
    baseline = _mean_of(baselines)
    best = rows[-1].best_bpb if rows else None
    holders = [row for row in kept if row.score_bpb == best] or baselines
    return Standing(
        experiments=len(rows),
        scored=sum(row.val_bpb is not None for row in rows),
        tried=sum(row.kind == CANDIDATE and row.ending not in SPOILT for row in rows),
        kept=len(kept),
        baseline_bpb=baseline,
        best_bpb=best,
        best_experiment=holders[-1].number if holders else None,
        replays=len(replays),
        replay_bpb=_mean_of(replays),
        gain_bpb=_gain(baseline, best, len(kept)),
        gain_low_bpb=None,
        gain_high_bpb=None,
        noise_sd_bpb=None,
        noise_low_bpb=None,
        noise_high_bpb=None,
        margin_bpb=None,
        holdout_gain_bpb=None,
        audited=sum(row.audited for row in rows),
        idle_share=None,
        cost_usd=None,
        agent_tokens=None,
        energy_j=None,
        took_s=None,
    )


def _mean_of(rows: Sequence[Row]) -> float | None:
    scores = [row.score_bpb for row in rows if row.score_bpb is not None]
    return statistics.fmean(scores) if scores else None


def _gain(baseline_bpb: float | None, best_bpb: float | None, kept: int) -> float | None:
    if not kept or baseline_bpb is None or best_bpb is None:
        return None
    return baseline_bpb - best_bpb


def _gain_interval(
    records: Sequence[Record], noise: Noise | None
) -> tuple[float | None, float | None]:
    """Where the gain lies with 95 % confidence: the baseline's runs against the best's re-runs."""
    best = best_of(records)
    number = records[best.number - 1].original if best else None
    if number is None or noise is None or noise.sd_bpb == 0:
        return None, None
    runs = Runs(
        baseline=tuple(scores_of(baselines_of(records))),
        best=tuple(scores_of(reruns_of(records, number))),
        noise=noise,
    )
    gain = runs.gain()
    return gain.interval() if gain else (None, None)
