"""What follows from Records: the best, the noise, what is undecided, what an audit allows."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.findings import add_up
from lab.ledger import (
    AUDIT,
    BASELINE,
    CANDIDATE,
    CONFIRM,
    Ledger,
    Record,
    best_of,
    noise_of,
    open_candidate,
    reruns_of,
    tolerance_of,
)
from lab.outcome import Status
from lab.show.words import ending
from lab.verdict import Bar, Change, Noise, screen, settle
from tests.unit.nights import MEMORY_BYTES, RULE, make_night, make_record

PRIOR = Noise(sd_bpb=0.002, df=8)
SEED_COMMIT = "5" * 40
SCORES = st.floats(0.5, 3.0)


def baseline(number: int, val_bpb: float, *, status: Status = Status.MEASURED) -> Record:
    return make_record(number, kind=BASELINE, val_bpb=val_bpb, status=status, commit=SEED_COMMIT)


def run(
    number: int,
    then: str,
    val_bpb: float = 1.85,
    *,
    of: int | None = None,
    kind: str | None = None,
    status: Status = Status.MEASURED,
) -> Record:
    """A first run, or a re-run `of` a candidate, and what followed, whatever the rule would say of it."""
    kind = kind or (CANDIDATE if of is None else CONFIRM)
    record = make_record(number, kind=kind, original=of, val_bpb=val_bpb, status=status)
    verdict = replace(record.verdict, keep=then == "keep", confirm=then == "confirm")
    return replace(record, verdict=verdict)


START = [baseline(1, 1.900), baseline(2, 1.898), baseline(3, 1.902)]
KEPT = [
    *START,
    run(4, "confirm", 1.840),
    run(5, "confirm", 1.861, of=4),
    run(6, "keep", 1.859, of=4),
]


# ---- the best ----


def test_there_is_no_best_before_a_run() -> None:
    """A night that starts with a crash must not compare with nothing."""
    assert best_of([]) is None
    assert best_of([baseline(1, 1.9, status=Status.CRASHED)]) is None


def test_the_baseline_is_the_best_at_the_mean_of_its_runs() -> None:
    """One draw of the noise would be a bar that half of all equal changes beat."""
    night = [*START, run(4, "discard", 1.7), run(5, "confirm", 1.6), run(6, "confirm", 1.6, of=5)]
    for records in (START, night):
        best = best_of(records)
        assert best is not None
        assert (best.number, best.commit) == (3, SEED_COMMIT)
        assert best.val_bpb == pytest.approx(1.900, abs=1e-9)
        assert (best.bar.runs, best.bar.memory_bytes) == (3, MEMORY_BYTES)


def test_a_baseline_without_a_score_does_not_count() -> None:
    """What was lost is run again; it must not be averaged as anything."""
    best = best_of([START[0], baseline(2, 1.7, status=Status.LOST), baseline(3, 1.898)])
    assert best is not None
    assert (best.val_bpb, best.bar.runs) == (pytest.approx(1.899, abs=1e-9), 2)


@given(lucky=SCORES)
def test_the_best_is_the_mean_of_the_re_runs_and_never_of_the_lucky_run(lucky: float) -> None:
    """The first run was chosen for being low: with it in the mean, a night ratchets on luck."""
    night = [*KEPT[:3], run(4, "confirm", lucky), *KEPT[4:]]
    best = best_of(night)
    assert best is not None
    assert best.val_bpb == pytest.approx(1.860, abs=1e-9)
    assert (best.number, best.commit, best.bar.runs) == (6, night[3].commit, 2)


def test_the_second_keep_replaces_the_first() -> None:
    """The bar is of the code that the next candidate starts from, and of no other."""
    night = [*KEPT, run(7, "confirm", 1.80), run(8, "keep", 1.83, of=7), run(9, "discard", 1.7)]
    best = best_of(night)
    assert best is not None
    assert (best.number, best.commit) == (8, night[6].commit)
    assert (best.val_bpb, best.bar.runs) == (pytest.approx(1.83, abs=1e-9), 1)


@pytest.mark.parametrize("status", [Status.LOST, Status.CONTENDED, Status.CONDITIONS])
def test_a_spoilt_re_run_is_not_in_the_mean(status: Status) -> None:
    """A neighbour on the card says nothing about the idea."""
    spoilt = run(5, "discard", 1.5, of=4, status=status)
    night = [*KEPT[:4], spoilt, run(6, "confirm", 1.861, of=4), run(7, "keep", 1.859, of=4)]
    best = best_of(night)
    assert best is not None
    assert (best.val_bpb, best.bar.runs) == (pytest.approx(1.860, abs=1e-9), 2)
    assert [record.number for record in reruns_of(night, 4)] == [6, 7]


def test_an_audit_moves_nothing() -> None:
    """Looking at a result again, with the seed it had, is no new result."""
    audits = [run(n, "audit", 1.2, of=o, kind=AUDIT) for n, o in ((7, 6), (8, 4), (9, 1))]
    assert best_of([*KEPT, *audits]) == best_of(KEPT)
    assert noise_of([*KEPT, *audits], PRIOR) == noise_of(KEPT, PRIOR)


# ---- what is undecided ----

PROMISING = [*START, run(4, "confirm")]
UNDECIDED = [*PROMISING, run(5, "confirm", of=4)]


@pytest.mark.parametrize(
    ("records", "number"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param(START, None, id="baselines"),
        pytest.param([*START, run(4, "discard")], None, id="discarded-at-once"),
        pytest.param(PROMISING, 4, id="promising"),
        pytest.param(UNDECIDED, 4, id="undecided-re-run"),
        pytest.param([*UNDECIDED, run(6, "confirm", of=4)], 4, id="two-undecided-re-runs"),
        pytest.param([*UNDECIDED, run(6, "keep", of=4)], None, id="kept"),
        pytest.param([*UNDECIDED, run(6, "discard", of=4)], None, id="discarded"),
        pytest.param(
            [*PROMISING, run(5, "discard", of=4, status=Status.LOST)], 4, id="lost-re-run"
        ),
        pytest.param(
            [
                *UNDECIDED,
                run(6, "discard", of=4, status=Status.CONTENDED),
                run(7, "discard", of=4, status=Status.LOST),
            ],
            4,
            id="spoilt-twice",
        ),
        pytest.param(
            [*UNDECIDED, run(6, "discard", of=4, status=Status.CRASHED)], None, id="crashed-re-run"
        ),
        pytest.param(
            [*PROMISING, run(5, "discard", of=4, status=Status.INVALID)], None, id="failed-audit"
        ),
        pytest.param([*PROMISING, run(5, "audit", of=1, kind=AUDIT)], 4, id="audit-in-between"),
        pytest.param(
            [*UNDECIDED, run(6, "audit", of=4, kind=AUDIT, status=Status.LOST)], 4, id="lost-audit"
        ),
        pytest.param([*UNDECIDED, run(6, "keep", of=4), run(7, "discard")], None, id="next-idea"),
        pytest.param(
            [*UNDECIDED, run(6, "keep", of=4), run(7, "confirm")], 7, id="next-promising-idea"
        ),
        pytest.param(
            [*KEPT, run(7, "discard", status=Status.LOST)], None, id="lost-idea-after-a-keep"
        ),
    ],
)
def test_what_looked_better_stays_open_until_it_is_decided(
    records: list[Record], number: int | None
) -> None:
    """Forgotten, a real gain is thrown away; never closed, it is run until the morning."""
    found = open_candidate(records)
    assert found == (None if number is None else records[number - 1])


# ---- the noise ----


def test_the_noise_of_the_baseline_alone_is_its_sd() -> None:
    """At the start of a night there is nothing else, or what `lab noise` left."""
    assert noise_of([], None) is None
    assert noise_of(START[:1], None) is None
    assert noise_of(START[:1], PRIOR) == PRIOR
    found = noise_of(START, None)
    assert found is not None
    assert (found.df, found.sd_bpb) == (2, pytest.approx(statistics.stdev([1.9, 1.898, 1.902])))


def test_the_noise_pools_baselines_re_runs_and_the_prior() -> None:
    """Three runs of a baseline give an sd that may be wrong by a factor of two."""
    found = noise_of(KEPT, PRIOR)
    assert found is not None
    squares = 2 * statistics.variance([1.9, 1.898, 1.902])
    squares += statistics.variance([1.861, 1.859]) + 8 * 0.002**2
    assert found.df == 2 + 1 + 8
    assert found.sd_bpb == pytest.approx(math.sqrt(squares / found.df))


@given(lucky=SCORES, discarded=SCORES)
def test_what_was_selected_or_run_once_adds_no_noise(lucky: float, discarded: float) -> None:
    """A first run lies far from its re-runs because it was selected: counted, it would hide real gains."""
    night = [
        *START,
        run(4, "confirm", lucky),
        *KEPT[4:],
        run(7, "discard", discarded),
        run(8, "confirm", discarded),
        run(9, "discard", lucky, of=8),
    ]
    assert noise_of(night, PRIOR) == noise_of(KEPT, PRIOR)


@pytest.mark.parametrize("last", ["keep", "discard", "confirm"])
def test_the_run_that_is_being_decided_counts_before_it_is_written_down(last: str) -> None:
    """The same question is asked before the audit and after it; two answers would be two rules."""
    before = KEPT[:5]
    score = (before[4].trial.val_bpb or 0.0) + 0.003
    after = [*before, run(6, last, score, of=4)]
    assert noise_of(before, PRIOR, also=(4, after[-1].trial.val_bpb or 0.0)) == noise_of(
        after, PRIOR
    )
    assert noise_of(before, PRIOR, also=(4, score)) != noise_of(before, PRIOR)


# ---- what two honest containers may differ by ----


def calibrating(record: Record, *, tolerance: float, passed: bool = True) -> Record:
    audit = record.trial.audit
    assert audit is not None
    audit = replace(audit, calibrated=True, tolerance_nats=tolerance, mismatches=0 if passed else 1)
    return replace(record, trial=replace(record.trial, audit=audit))


def test_the_tolerance_is_that_of_the_first_calibration(tmp_path: Path) -> None:
    """Whoever could calibrate again, with a model of his own, could allow himself any difference."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl", anchor="a")
    seen = []
    for record in (
        START[0],  # audited, but did not calibrate
        calibrating(START[1], tolerance=9.0, passed=False),
        calibrating(run(3, "confirm"), tolerance=8.0),
        calibrating(baseline(4, 1.9), tolerance=0.01),
        calibrating(baseline(5, 1.9), tolerance=7.0),
    ):
        seen.append(tolerance_of(ledger.records))
        ledger.append(record)
    assert [*seen, tolerance_of(ledger.records)] == [None, None, None, None, 0.01, 0.01]
    assert tolerance_of(Ledger.open(ledger.path, anchor="a").records) == 0.01


# ---- the made nights, which other tests stand on ----


def test_a_made_night_is_one_that_the_product_could_have_had() -> None:
    """Tests on a night that cannot happen would show nothing."""
    night = make_night(150)
    assert {ending(record) for record in night} >= {"baseline", "keep", "discard", "confirm"}
    for index, record in enumerate(night):
        past, trial = night[:index], record.trial
        candidate = open_candidate(past)
        assert record.original == (candidate.number if candidate else None)
        assert (record.kind == CONFIRM) is (candidate is not None)
        leads_on = record.verdict.keep or record.verdict.confirm or record.kind == BASELINE
        assert (trial.audit is not None) is (leads_on and trial.val is not None)
        assert (trial.holdout is not None) is (ending(record) in ("keep", "baseline"))
        for score in (trial.val, trial.holdout):
            assert score is None or add_up(score.shards) == score.bpb
        if record.kind != BASELINE and trial.val_bpb is not None:
            assert record.verdict.sentence == weighed_again(record, past)


def weighed_again(record: Record, past: list[Record]) -> str:
    """What the rule says of a record, from the records before it."""
    best, score = best_of(past), record.trial.val_bpb
    assert best is not None
    assert score is not None
    bar = Bar(mean_bpb=best.val_bpb, runs=best.bar.runs, memory_bytes=best.bar.memory_bytes)
    change = Change(net_lines=0, memory_bytes=MEMORY_BYTES)
    also = (record.original, score) if record.original else None
    noise = noise_of(past, PRIOR, also=also)
    assert noise is not None
    if record.original is None:
        return screen(RULE, val_bpb=score, best=bar, noise=noise, change=change).sentence
    runs = [r.trial.val_bpb or 0.0 for r in reruns_of(past, record.original)]
    return settle(RULE, reruns=[*runs, score], best=bar, noise=noise, change=change).sentence


def test_a_re_run_that_is_lost_twice_is_not_drawn_again() -> None:
    """A file that can make the lab lose its runs could draw them until one is lucky."""
    first = make_record(3, val_bpb=1.86, best_bpb=1.9)
    assert first.verdict.confirm, "the control"
    night = [*(make_record(n, kind="baseline", val_bpb=1.9) for n in (1, 2)), first]
    lost = make_record(4, kind="confirm", original=3, status=Status.LOST)
    assert open_candidate([*night, lost]) == first
    assert open_candidate([*night, lost, replace(lost, number=5)]) is None


def test_a_re_run_that_diverged_says_nothing_of_the_noise() -> None:
    """One bad run must not hide every later gain, nor a fixed seed pretend that there is no noise."""
    night = [make_record(n, kind="baseline", val_bpb=1.9 + n / 1000) for n in (1, 2, 3)]
    usual = noise_of(night, None)
    assert usual is not None
    for scores, counts in (((1.86, 9.0), False), ((1.86, 1.86), False), ((1.86, 1.861), True)):
        reruns = [
            make_record(5 + n, kind="confirm", original=4, val_bpb=score, best_bpb=1.9)
            for n, score in enumerate(scores)
        ]
        found = noise_of([*night, make_record(4, val_bpb=1.86, best_bpb=1.9), *reruns], None)
        assert found is not None
        assert (found != usual) is counts, scores
