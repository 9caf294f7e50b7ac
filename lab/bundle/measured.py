"""Level 1, the numbers: what was measured is consistent with itself, the profile and the clock.

Owns    which numbers follow from which others
Takes   Evidence
Gives   Checks
Never   says that a number was measured: a consistent invention passes here
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from harness.audit import MEAN_SHARE, SAFETY, SMALL_CHEAT
from harness.findings import Audit, Plan, Score, add_up
from harness.profiles import PROFILES, Profile
from lab.bundle.checks import Check
from lab.bundle.evidence import MIB, Evidence, Findings, look, not_looked_at, read_capped
from lab.ledger import AUDIT, Record
from lab.outcome import Status
from lab.settings import CHECKOUT
from lab.weighing import Case, doubt

# Stamps are of the wall clock, which a time server may set back while a night runs.
CLOCK_SLACK = timedelta(seconds=2)
# Ticks, engine calls and a busy host lie between a deadline and the moment at which it was noticed.
START_SLACK_S = 5.0
JUDGE_SLACK_S = 60.0
SUM_SLACK_S = 0.01
# Rows without any text are not cut; we know of no row that has none.
LEAST_POINTS_SHARE = 0.99
NEVER_AUDITED = (Status.REJECTED, Status.CRASHED, Status.OUT_OF_MEMORY)
RELATIVE = 1e-6  # the judge compared in float32


def check_measured(evidence: Evidence) -> list[Check]:
    profile = PROFILES.get(evidence.facts.profile) if _is_our_profile(evidence) else None
    checks = [
        look("scores", lambda: _scores(evidence)),
        look("seeds", lambda: _seeds(evidence)),
        look("stamps", lambda: _stamps(evidence)),
        look("audits", lambda: _audits(evidence, profile)),
    ]
    if profile is None:
        why = "its harness/profiles.py is not this checkout's, so its budgets are not known here."
        return [*checks, not_looked_at("budgets", why)]
    return [*checks, look("budgets", lambda: _budgets(evidence, profile))]


def _is_our_profile(evidence: Evidence) -> bool:
    try:
        theirs = read_capped(evidence.payload / "recipe" / "harness" / "profiles.py", MIB)
    except (OSError, ValueError):
        return True  # the recipe has a check of its own; without one, ours is what there is
    return hashlib.sha256(theirs).digest() == _sha256_of_ours()


def _sha256_of_ours() -> bytes:
    return hashlib.sha256((CHECKOUT / "harness" / "profiles.py").read_bytes()).digest()


def _scores(evidence: Evidence) -> Findings:
    """A score is the sum of its shards, and every score is of the same text."""
    texts: dict[str, tuple[tuple[int, ...], int]] = {}
    count = 0
    for record in evidence.records:
        trial = record.trial
        measured = trial.status is Status.MEASURED
        if measured is not (trial.val is not None):
            yield f"experiment {record.number} is {trial.status.value}, and has {'a' if trial.val else 'no'} score"
        if (trial.status is Status.REJECTED) is not (record.commit is None):
            yield f"experiment {record.number} is {trial.status.value}, and its commit is {record.commit}"
        if measured and (trial.training is None or trial.training.train_s is None):
            yield f"experiment {record.number} has a score, and was not trained"
        if trial.holdout and not trial.val:
            yield f"experiment {record.number} has a holdout score without a score"
        for split, score in (("val", trial.val), ("holdout", trial.holdout)):
            if score is None:
                continue
            count += 1
            if wrong := _wrong_score(score):
                yield f"experiment {record.number}, {split}: {wrong}"
            text = tuple(shard.bytes for shard in score.shards), score.tokens
            if text != texts.setdefault(split, text):
                yield f"experiment {record.number}, {split}: it was scored on another text than the first"
    return f"{count} scores are the sums of their shards, each split of one text."


def _wrong_score(score: Score) -> str | None:
    if any(not 0.0 <= shard.nats < math.inf or shard.bytes < 0 for shard in score.shards):
        return "a shard has a negative or infinite cost"
    total = add_up(score.shards)
    return None if total == score.bpb else f"it says {score.bpb!r}, its shards add up to {total!r}"


def _seeds(evidence: Evidence) -> Findings:
    """The lab owns the seed: it follows from the campaign's and the number."""
    facts, records = evidence.facts, evidence.records
    for record in records:
        wanted: int | None = facts.seed + record.number - 1
        if record.kind == AUDIT and record.original is not None:
            before = records[record.original - 1].trial.seed
            wanted = before if before is not None else wanted
        if record.trial.status is Status.REJECTED:
            wanted = None
        if record.trial.seed != wanted:
            yield f"experiment {record.number} ran with seed {record.trial.seed}, not {wanted}"
        class_id = None if record.trial.status is Status.REJECTED else facts.fingerprint.class_id
        if record.trial.class_id != class_id:
            yield f"experiment {record.number} is of class {record.trial.class_id}, not {class_id}"
    return f"every run has the seed that follows from {facts.seed} and its number, and one hardware class."


def _stamps(evidence: Evidence) -> Findings:
    """One experiment at a time, each as long as it says."""
    before = _stamp(evidence.facts.created_at) - timedelta(seconds=1)  # it has whole seconds
    for record in evidence.records:
        started, finished = _stamp(record.started_at), _stamp(record.finished_at)
        if started < before - CLOCK_SLACK:
            yield f"experiment {record.number} started at {record.started_at}, before the one before it ended"
        if finished < started - CLOCK_SLACK:
            yield f"experiment {record.number} ended before it started"
        lasted = timedelta(seconds=record.trial.total_s)
        if not 0.0 <= record.trial.total_s < math.inf or finished - started < lasted - CLOCK_SLACK:
            yield f"experiment {record.number} lasted {record.trial.total_s:.1f} s within {finished - started}"
        before = finished
    return "the experiments follow each other, none overlaps, none is longer than its time."


def _stamp(text: str) -> datetime:
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return stamp


def _budgets(evidence: Evidence, profile: Profile) -> Findings:
    """What the host's clock and caps allow."""
    longest = 0.0
    for record in evidence.records:
        for wrong in _over_budget(record, profile):
            yield f"experiment {record.number}: {wrong}"
        training = record.trial.training
        longest = max(longest, (training.train_s or 0.0) if training else 0.0)
    budget = f"{profile.train_budget_s:.0f} + {profile.save_grace_s:.0f} s"
    return f"no training took over {budget} (the longest {longest:.2f} s), and the times add up."


def _over_budget(record: Record, profile: Profile) -> Iterator[str]:
    trial, training = record.trial, record.trial.training
    spent = [trial.evaluation_s or 0.0, trial.audit_s or 0.0]
    if training is not None:
        startup_s, train_s = training.startup_s or 0.0, training.train_s or 0.0
        most = profile.train_budget_s + profile.save_grace_s
        if train_s > most:
            yield f"it trained for {train_s:.2f} s, and the budget is {most:.0f} s"
        if startup_s > profile.startup_cap_s + START_SLACK_S:
            yield f"it started for {startup_s:.1f} s, and the cap is {profile.startup_cap_s:.0f} s"
        if (training.checkpoint_bytes or 0) > profile.checkpoint_cap_bytes:
            yield f"its checkpoint has {training.checkpoint_bytes:,} bytes, over the cap"
        if record.kind != AUDIT:  # which may judge weights again that it did not train
            spent += [startup_s, train_s]
    if spent[0] > profile.evaluation_cap_s + JUDGE_SLACK_S:
        yield f"it was scored for {spent[0]:.1f} s, and the cap is {profile.evaluation_cap_s:.0f} s"
    if spent[1] > 2 * profile.evaluation_cap_s + JUDGE_SLACK_S:
        yield f"it was audited for {spent[1]:.1f} s, over the caps"
    if min(spent) < 0.0 or sum(spent) > trial.total_s + SUM_SLACK_S:
        yield f"its parts take {sum(spent):.2f} s, and all of it {trial.total_s:.2f} s"


def _audits(evidence: Evidence, profile: Profile | None) -> Findings:
    """What had to be audited was, by the plan that follows from the records; and each audit's numbers agree."""
    count = failed = 0
    for index, record in enumerate(evidence.records):
        trial = record.trial
        score = trial.val_bpb
        if score is None and trial.audit is not None:
            score = trial.audit.claimed_bpb
        if score is None:
            continue
        case = Case(
            past=evidence.records[:index],
            rule=evidence.facts.rule,
            prior=evidence.facts.prior_noise,
            kind=record.kind,
            original=record.original,
            net_lines=record.net_lines,
        )
        plan = doubt(case, score, trial.training)
        if (plan is not None) is not (trial.audit is not None):
            yield f"experiment {record.number} {'should' if plan else 'need not'} have been audited, and was{'' if trial.audit else ' not'}"
        if trial.val and (trial.holdout is not None) is not (plan is not None and plan.holdout):
            yield f"experiment {record.number} has {'a' if trial.holdout else 'no'} holdout score, against its plan"
        if plan is None or trial.audit is None:
            continue
        count, failed = count + 1, failed + (not trial.audit.passed)
        for wrong in _wrong_audit(record, trial.audit, plan):
            yield f"the audit of experiment {record.number}: {wrong}"
        for wrong in _too_little(trial.audit, plan, profile) if profile else ():
            yield f"the audit of experiment {record.number}: {wrong}"
    return f"{count} audits, {failed} of them failed; every claim that led somewhere has one that passed."


def _too_little(audit: Audit, plan: Plan, profile: Profile) -> Iterator[str]:
    """What the profile asks of every audit, and of the one that calibrates."""
    rows = profile.val_rows + (profile.holdout_rows if plan.holdout else 0)
    if not LEAST_POINTS_SHARE * rows <= audit.points <= rows:
        yield f"it has {audit.points} blind points for {rows} rows"
    if audit.order_rows != min(profile.order_rows, profile.val_rows):
        yield f"it asked for {audit.order_rows} rows again, and not {profile.order_rows}"
    if plan.tolerance_nats is None:
        widened = max(SAFETY * audit.order_worst_nats, profile.tolerance_floor_nats)
        wanted = min(widened, profile.tolerance_cap_nats)
        if audit.tolerance_nats != wanted:
            yield f"its tolerance is {audit.tolerance_nats} nats, and follows as {wanted}"


def _wrong_audit(record: Record, audit: Audit, plan: Plan) -> Iterator[str]:
    """Numbers of an audit that do not agree with each other, with its experiment or with its plan."""
    trial = record.trial
    # It ended well or as the audit found; or it was spoilt, which explains whatever else there is.
    wrong_end = Status.INVALID if audit.passed else Status.MEASURED
    if trial.status in (wrong_end, *NEVER_AUDITED):
        passed = "passed" if audit.passed else "failed"
        yield f"it {passed}, and the experiment is {trial.status.value}"
    if trial.val and audit.claimed_bpb != trial.val.bpb:
        yield f"it is of a claim of {audit.claimed_bpb}, and the score is {trial.val.bpb}"
    told = plan.tolerance_nats
    if audit.calibrated is not (told is None) or told not in (None, audit.tolerance_nats):
        yield f"its tolerance is {audit.tolerance_nats} nats, and the campaign's is {told}"
    if not 0.0 <= audit.mean_tolerance_nats <= MEAN_SHARE * audit.tolerance_nats:
        yield f"its tolerance of the mean is {audit.mean_tolerance_nats} nats"
    for name, worst, count in (
        ("blind points", audit.worst_difference_nats, audit.mismatches),
        ("tokens in another order", audit.order_worst_nats, audit.order_mismatches),
    ):
        beyond = worst > audit.tolerance_nats * (1 + RELATIVE)
        within = worst < audit.tolerance_nats * (1 - RELATIVE)
        if (beyond and count == 0) or (within and count != 0) or count < 0:
            yield f"{count} {name} are off, and the worst is {worst} of {audit.tolerance_nats} nats"
    if abs(audit.mean_difference_nats) > audit.worst_difference_nats * (1 + RELATIVE):
        yield f"its mean difference {audit.mean_difference_nats} is over its worst"
    if not math.isclose(audit.power, 1 - (1 - SMALL_CHEAT) ** audit.points, rel_tol=1e-9):
        yield f"its power is {audit.power}, which {audit.points} points do not give"
    if trial.val is not None:
        yield from _wrong_blind_score(audit, trial.val, plan.holdout)


def _wrong_blind_score(audit: Audit, val: Score, with_holdout: bool) -> Iterator[str]:
    """`blind_bpb` is the claim moved by the mean difference of val; with a holdout, at most by that much."""
    per_byte = val.tokens / sum(shard.bytes for shard in val.shards) / math.log(2)
    moved = audit.blind_bpb - audit.claimed_bpb
    most = audit.mean_difference_nats * per_byte
    slack = 1e-12 + RELATIVE * abs(most)
    agrees = (
        abs(moved) <= abs(most) + slack
        if with_holdout
        else math.isclose(moved, most, abs_tol=slack)
    )
    if not agrees:
        yield f"its blind score is {audit.blind_bpb}, which its mean difference does not give"
