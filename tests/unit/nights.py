"""Nights that never were: Records for tests of what a person sees, made by a seeded generator.

The records have the real types, the real rule decided about them, and they come in the order of a real
night: what looks better is run again until it is kept or discarded. Only the scores are drawn.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.findings import Audit, Score, Shard, add_up
from lab.gate import Training
from lab.ledger import AUDIT, BASELINE, CANDIDATE, CONFIRM, Record, best_of, open_candidate
from lab.outcome import Status
from lab.samples import ENERGY_COUNTER, TelemetrySummary
from lab.trial import Conditions, Trial
from lab.verdict import (
    Bar,
    Change,
    Noise,
    Rule,
    Verdict,
    accept_baseline,
    pool_noise,
    refuse,
    screen,
    settle,
)

RULE = Rule()
NOISE = Noise(sd_bpb=0.002, df=40)
MEMORY_BYTES = 3 * 2**30
CONDITIONS = Conditions(
    before={"kernel": "6.1", "load_1min": 0.2, "cpu_governor": None},
    after={"kernel": "6.1", "load_1min": 1.9, "cpu_governor": None},
    missing={"cpu_governor": "the host does not let its guests see the clock"},
)
BASELINES = 3
SEED_COMMIT = "5" * 40
SHARD_BYTES = (125_000, 124_000, 126_000, 125_000)
SHARD_SHARES = (1.02, 0.99, 1.01, 0.98)  # of the mean cost: no two blocks of text are as hard
FAILURES = (
    Status.CRASHED,
    Status.OUT_OF_MEMORY,
    Status.TIMED_OUT,
    Status.INVALID,
    Status.REJECTED,
)
IDEAS = (
    "Depth 2 to 3",
    "Double the learning rate of the matrices",
    "Window pattern SSSL to SL",
    "Drop the logit soft-cap",
    "Warm-down over the last 70 % of the budget",
    "Half the batch, twice the steps",
    "SwiGLU in place of squared ReLU at equal parameters",
    "Value embeddings on every layer",
    "Rotary base 10000 to 2000, because rows are short",
    "Remove the x0 scalars; they earn nothing",
)


def make_score(bpb: float) -> Score:
    """A Score of about `bpb`, whose shards add up to exactly what it says."""
    mean = sum(b * s for b, s in zip(SHARD_BYTES, SHARD_SHARES, strict=True)) / sum(SHARD_BYTES)
    shards = tuple(
        Shard(nats=bpb * math.log(2) * size * share / mean, bytes=size)
        for size, share in zip(SHARD_BYTES, SHARD_SHARES, strict=True)
    )
    return Score(bpb=add_up(shards), bpb_upstream=None, tokens=200_000, shards=shards)


def make_audit(claimed_bpb: float, *, passed: bool = True, calibrated: bool = False) -> Audit:
    """An Audit of 160 rows; one that failed has 40 blind points off."""
    return Audit(
        points=160,
        mismatches=0 if passed else 40,
        mean_difference_nats=0.0 if passed else 0.7,
        worst_difference_nats=1e-6 if passed else 5.0,
        order_rows=16,
        order_mismatches=0,
        order_worst_nats=1e-6,
        tolerance_nats=1e-3,
        mean_tolerance_nats=1e-4,
        calibrated=calibrated,
        claimed_bpb=claimed_bpb,
        blind_bpb=claimed_bpb if passed else claimed_bpb + 0.9,
        power=0.97,
    )


def make_telemetry(**changed: Any) -> TelemetrySummary:
    """What an H100 tells of a minute at its power limit."""
    facts: dict[str, Any] = {
        "seconds": 60.1,
        "samples": 60,
        "gaps": 0,
        "energy_j": 41_000.0,
        "energy_source": ENERGY_COUNTER,
        "mean_power_w": 682.0,
        "mean_sm_clock_mhz": 1695.0,
        "mean_gpu_busy_percent": 99.0,
        "peak_temperature_c": 71.0,
        "peak_gpu_memory_bytes": 45 * 2**30,
        "throttled_s": 0.0,
        "limited_s": {"power_cap": 55.0},
        "mean_cpu_mhz": 3100.0,
        "cpu_stalled_share": 0.01,
        "memory_stalled_share": 0.0,
        "io_stalled_share": 0.0,
        "peak_container_memory_bytes": 5 * 2**30,
        "missing": {},
    }
    return TelemetrySummary(**facts | changed)


def make_record(
    number: int,
    *,
    status: Status = Status.MEASURED,
    val_bpb: float | None = 1.85,
    kind: str = CANDIDATE,
    original: int | None = None,
    reruns: Sequence[float] = (),
    title: str = "Depth 2 to 3",
    best_bpb: float = 1.9,
    best_runs: int = BASELINES,
    noise: Noise = NOISE,
    net_lines: int = 0,
    commit: str | None = None,
    memory_bytes: int | None = MEMORY_BYTES,
    tokens: int | None = 750_000,
    facts: dict[str, str] | None = None,
    holdout_bpb: float | None = None,
    calibrated: bool = False,
) -> Record:
    """One Record; without `status=MEASURED` it has no score.

    A "confirm" or "audit" names its `original`, and a "confirm" the scores of the `reruns` before it. What
    is audited, and what has a holdout score, is as in a real night; `holdout_bpb` None is a little over val.
    """
    measured = status == Status.MEASURED and val_bpb is not None
    val = make_score(val_bpb) if measured and val_bpb is not None else None
    verdict = _verdict(
        val,
        kind=kind,
        original=original,
        reruns=reruns,
        best=Bar(mean_bpb=best_bpb, runs=best_runs, memory_bytes=MEMORY_BYTES),
        noise=noise,
        change=Change(net_lines=net_lines, memory_bytes=memory_bytes),
        reason=f"{status.value}: the run {status.value}",
    )
    audit = None
    if val and (kind in (BASELINE, AUDIT) or verdict.keep or verdict.confirm):
        audit = make_audit(val.bpb, calibrated=calibrated)
    scored = val and (kind == BASELINE or verdict.keep)
    became_code = status is not Status.REJECTED
    made_by = original if original is not None else number
    return Record(
        number=number,
        kind=kind,
        title=title,
        hypothesis="it should help",
        agent="offline",
        facts=facts or {},
        cost_usd=None,
        agent_tokens=None,
        repeats=None,
        original=original,
        parent="a" * 40 if became_code else None,
        commit=(commit or commit_of(made_by)) if became_code else None,
        lines_added=1 if became_code else None,
        lines_removed=1 if became_code else None,
        net_lines=net_lines if became_code else None,
        program_sha256="b" * 64,
        started_at="2026-11-23T22:00:00+00:00",
        finished_at="2026-11-23T22:01:20+00:00",
        agent_s=0.2 if original is None else 0.0,
        controller_s=0.4,
        trial=Trial(
            status=status,
            reason="" if measured else f"the run {status.value}",
            seed=42 + number - 1 if became_code else None,
            class_id="cpu-1" if became_code else None,
            conditions=CONDITIONS if became_code else None,
            total_s=87.0 if audit else 78.0,
            training=_training(measured, memory_bytes, tokens) if became_code else None,
            val=val,
            holdout=make_score(holdout_bpb or val.bpb + 0.01) if val and scored else None,
            audit=audit,
            evaluation_s=8.1 if val else None,
            audit_s=(9.0 if audit else 0.0) if val else None,
            unwatched=None,
            telemetry=make_telemetry() if became_code else None,
        ),
        verdict=verdict,
    )


def commit_of(number: int) -> str:
    """The commit that `make_record` and `make_run` give a candidate."""
    return f"{number:07x}" + "0" * 33


def make_seed(*scores: float, first: int = 1) -> list[Record]:
    """Baselines with these scores; the last one is `SEED_COMMIT`, which candidates start from."""
    commits = [str(number % 10) * 40 for number in range(first, first + len(scores) - 1)]
    return [
        make_record(number, kind=BASELINE, val_bpb=score, commit=commit)
        for number, (score, commit) in enumerate(
            zip(scores, [*commits, SEED_COMMIT], strict=True), start=first
        )
    ]


def make_run(
    number: int,
    then: str,
    val_bpb: float = 1.85,
    *,
    parent: str | None = None,
    of: int | None = None,
    kind: str | None = None,
    status: Status = Status.MEASURED,
    agent: str = "offline",
    facts: dict[str, str] | None = None,
    title: str = "Depth 2 to 3",
    audited: bool = True,
    passed: bool = True,
) -> Record:
    """A first run from `parent` (the seed), or a re-run `of` a candidate, and what followed ("keep", "confirm",
    else nothing), whatever the rule would say of it. What leads on is `audited`, and `passed`.
    """
    kind = kind or (CANDIDATE if of is None else CONFIRM)
    record = make_record(
        number, kind=kind, original=of, val_bpb=val_bpb, status=status, facts=facts, title=title
    )
    leads_on = then in ("keep", "confirm")
    audit = make_audit(val_bpb, passed=passed) if leads_on and audited else None
    return replace(
        record,
        agent=agent,
        parent=(parent or SEED_COMMIT) if record.commit else None,
        verdict=replace(record.verdict, keep=then == "keep", confirm=then == "confirm"),
        trial=replace(record.trial, audit=audit),
    )


def make_kept(number: int, *, val_bpb: float, best_bpb: float, **more: object) -> list[Record]:
    """A candidate and its re-runs until it is kept; the mean of the re-runs is `val_bpb`.

    Its first run was a little luckier, as first runs that lead somewhere are.
    """
    night = [make_record(number, val_bpb=val_bpb - 0.003, best_bpb=best_bpb, **more)]  # type: ignore[arg-type]
    reruns: list[float] = []
    while night[-1].verdict.confirm:
        night.append(
            make_record(
                number + len(night),
                kind=CONFIRM,
                original=number,
                reruns=reruns,
                val_bpb=val_bpb,
                best_bpb=best_bpb,
                **more,  # type: ignore[arg-type]
            )
        )
        reruns.append(night[-1].trial.val_bpb or 0.0)
    assert night[-1].verdict.keep, night[-1].verdict.sentence
    return night


def make_night(experiments: int, *, seed: int = 1, sd_bpb: float = 0.002) -> list[Record]:
    """A night of so many experiments, baselines included: few keeps, many discards, failures.

    Every idea has a true score; each run of it adds noise of `sd_bpb`. The rule knows that noise from a
    prior, as `lab noise` leaves one.
    """
    draw = random.Random(seed)
    prior = Noise(sd_bpb=sd_bpb, df=8)
    night: list[Record] = []
    groups: dict[int, list[float]] = {0: []}  # runs of the same code; 0 is the baseline
    truth = {0: 1.8493}
    head = 0  # the idea that is the best so far
    for number in range(1, experiments + 1):
        candidate = open_candidate(night)
        if candidate is None and number <= BASELINES:
            night.append(
                make_record(
                    number,
                    kind=BASELINE,
                    title="The seed, as it is",
                    val_bpb=truth[0] + draw.gauss(0.0, sd_bpb),
                    commit="5" * 40,
                    calibrated=number == 1,
                )
            )
            groups[0].append(night[-1].trial.val_bpb or 0.0)
            continue
        best = best_of(night)
        assert best is not None
        if candidate is None and draw.random() < 0.12:
            night.append(
                make_record(
                    number,
                    status=draw.choice(FAILURES),
                    title=draw.choice(IDEAS),
                    best_bpb=best.val_bpb,
                )
            )
            continue
        idea = candidate.number if candidate else number
        if candidate is None:
            truth[idea] = truth[head] + _effect(draw)
        score = make_score(truth[idea] + draw.gauss(0.0, sd_bpb)).bpb
        before = groups.get(idea, [])
        if candidate is not None:
            groups[idea] = [*before, score]
        noise = pool_noise(list(groups.values()), prior)
        assert noise is not None
        night.append(
            make_record(
                number,
                kind=CONFIRM if candidate else CANDIDATE,
                original=candidate.number if candidate else None,
                reruns=before,
                title=candidate.title if candidate else draw.choice(IDEAS),
                val_bpb=score,
                best_bpb=best.val_bpb,
                best_runs=best.bar.runs,
                noise=noise,
            )
        )
        if night[-1].verdict.keep:
            head = idea
    return night


def _effect(draw: random.Random) -> float:
    """What an idea is worth, in bpb; most make it worse, and some diverge."""
    chance = draw.random()
    if chance < 0.3:
        return -abs(draw.gauss(0.0, 0.008))
    return draw.uniform(0.4, 1.5) if chance > 0.95 else abs(draw.gauss(0.0, 0.02))


def _verdict(
    val: Score | None,
    *,
    kind: str,
    original: int | None,
    reruns: Sequence[float],
    best: Bar,
    noise: Noise,
    change: Change,
    reason: str,
) -> Verdict:
    """What the real rule says, as a real night asks it."""
    if kind in (CONFIRM, AUDIT):
        assert original is not None, f"a record of kind {kind} runs something again"
    if val is None:
        return refuse(reason, best_bpb=best.mean_bpb)
    if kind == BASELINE:
        return accept_baseline(val.bpb)
    if kind == AUDIT:
        return refuse(f"an audit of {original}", best_bpb=None)
    if kind == CONFIRM:
        return settle(RULE, reruns=[*reruns, val.bpb], best=best, noise=noise, change=change)
    return screen(RULE, val_bpb=val.bpb, best=best, noise=noise, change=change)


def _training(measured: bool, memory_bytes: int | None, tokens: int | None) -> Training:
    return Training(
        startup_s=6.5,
        train_s=60.1 if measured else None,
        checkpoint_sha256="c" * 64 if measured else None,
        config_sha256="d" * 64 if measured else None,
        checkpoint_bytes=4_000_000 if measured else None,
        peak_memory_bytes=memory_bytes,
        steps=180,
        tokens=tokens,
        loss=3.2,
        mfu=None,
    )
