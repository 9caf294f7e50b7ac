"""Nights that never were: Records for tests of what a person sees, made by a seeded generator.

The records have the real types and the real rule kept or discarded them; only the scores are drawn.
"""

from __future__ import annotations

import random

from lab.evaluation import Measurement
from lab.gate import Training
from lab.ledger import Record
from lab.outcome import Status
from lab.trial import Trial
from lab.verdict import accept_baseline, decide, measure_noise, refuse

MARGIN_SD = 2.0
BASELINES = 3
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


def make_record(
    number: int,
    *,
    status: Status = Status.MEASURED,
    val_bpb: float | None = 1.85,
    kind: str = "candidate",
    title: str = "Depth 2 to 3",
    best_bpb: float = 1.9,
    margin_bpb: float = 0.004,
    commit: str | None = None,
    memory_bytes: int | None = 3 * 2**30,
    tokens: int | None = 750_000,
    facts: dict[str, str] | None = None,
) -> Record:
    """One Record; without `status=MEASURED` it has no score."""
    measured = status == Status.MEASURED and val_bpb is not None
    training = Training(
        startup_s=6.5,
        train_s=60.1 if measured else None,
        checkpoint_sha256="c" * 64 if measured else None,
        checkpoint_bytes=4_000_000 if measured else None,
        peak_memory_bytes=memory_bytes,
        steps=180,
        tokens=tokens,
        loss=3.2,
        mfu=None,
    )
    measurement = Measurement(
        val_bpb=val_bpb or 0.0,
        val_bpb_upstream=None,
        val_nats=1.0e6,
        val_bytes=500_000,
        val_tokens=200_000,
        evaluation_s=8.1,
    )
    if kind == "baseline" and measured:
        verdict = accept_baseline(val_bpb or 0.0)
    elif measured:
        noise = measure_noise([0.0, margin_bpb / MARGIN_SD * 2**0.5])
        assert noise is not None
        verdict = decide(
            val_bpb=val_bpb or 0.0, best_bpb=best_bpb, noise=noise, margin_sd=MARGIN_SD
        )
    else:
        verdict = refuse(f"it {status.value}", best_bpb=best_bpb)
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
        parent="a" * 40,
        commit=f"{number:07x}" + "0" * 33 if commit is None else commit,
        lines_added=1,
        lines_removed=1,
        program_sha256="b" * 64,
        started_at="2026-11-23T22:00:00+00:00",
        finished_at="2026-11-23T22:01:20+00:00",
        agent_s=0.2,
        controller_s=0.4,
        trial=Trial(
            status=status,
            reason="" if measured else f"the run {status.value}",
            seed=42,
            class_id="cpu-1",
            total_s=78.0,
            training=training if status is not Status.REJECTED else None,
            measurement=measurement if measured else None,
        ),
        verdict=verdict,
    )


def make_night(experiments: int, *, seed: int = 1, sd_bpb: float = 0.002) -> list[Record]:
    """A night of so many experiments, baselines included: few keeps, many discards, failures."""
    draw = random.Random(seed)
    scores = [1.8493 + draw.gauss(0.0, sd_bpb) for _ in range(min(BASELINES, experiments))]
    night = [
        make_record(number, kind="baseline", title="The seed, as it is", val_bpb=score)
        for number, score in enumerate(scores, start=1)
    ]
    best = sum(scores) / len(scores) if scores else 0.0
    margin = MARGIN_SD * sd_bpb
    for number in range(len(night) + 1, experiments + 1):
        title = draw.choice(IDEAS)
        if draw.random() < 0.12:
            night.append(
                make_record(number, status=draw.choice(FAILURES), title=title, best_bpb=best)
            )
            continue
        if draw.random() < 0.2:
            score = best - abs(draw.gauss(0.0, 0.008))
        elif draw.random() < 0.06:
            score = best + draw.uniform(0.4, 1.5)
        else:
            score = best + abs(draw.gauss(0.0, 0.02)) - 0.002
        record = make_record(number, title=title, val_bpb=score, best_bpb=best, margin_bpb=margin)
        if record.verdict.keep:
            best = score
        night.append(record)
    return night
