"""Where the seconds of a night went.

Owns    which second belongs to which part; each belongs to one
Takes   Records
Gives   seconds by part, which add up to the whole: every experiment from its start to its record, and the waits
        before them

    training, start-up, evaluation, audit    of first runs and baselines
    confirmation   re-runs, whole
    idle           nothing ran, because the agent had no idea ready
    lost           runs that the lab or a neighbour spoilt, whole
    controller     what is left: git, the ledger, the fingerprint, containers made and removed

Of a run that saved no checkpoint only its length is known: it counts as training. The pause between two
nights of a campaign is nobody's and is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lab.ledger import AUDIT, CONFIRM, Record
from lab.outcome import Status

IDLE = "idle"
NAMES = (
    "training",
    "start-up",
    "evaluation",
    "audit",
    "confirmation",
    IDLE,
    "lost",
    "controller",
)


def spent_s(records: Sequence[Record]) -> dict[str, float]:
    """The seconds of each part, in the order of NAMES."""
    spent = dict.fromkeys(NAMES, 0.0)
    for record in records:
        for name, seconds in _parts(record).items():
            spent[name] += seconds
    return spent


def moment(stamp: str) -> datetime | None:
    """A moment with its time zone; None for what is no such stamp."""
    try:
        parsed = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else None


def _parts(record: Record) -> dict[str, float]:
    """The seconds of one experiment, and of the wait before it."""
    trial = record.trial
    parts = {IDLE: max(record.agent_s, 0.0)}
    whole_s = _whole_s(record)
    if not trial.status.says_something:
        return parts | {"lost": whole_s}
    if record.kind == CONFIRM:
        return parts | {"confirmation": whole_s}
    if record.kind == AUDIT:  # its training is the one of what it audits
        return parts | {"audit": whole_s}
    split = _split(record)
    return parts | split | {"controller": max(whole_s - sum(split.values()), 0.0)}


def _split(record: Record) -> dict[str, float]:
    trial, training = record.trial, record.trial.training
    if training is None or training.train_s is None:
        return {"training": max(trial.total_s, 0.0)}
    known = {
        "start-up": max(training.startup_s or 0.0, 0.0),
        "training": max(training.train_s, 0.0),
        "audit": max(trial.audit_s or 0.0, 0.0),
    }
    evaluation_s = trial.evaluation_s
    if evaluation_s is None and trial.status not in (Status.MEASURED, Status.THROTTLED):
        evaluation_s = trial.total_s - sum(known.values())  # it failed while it was judged
    return known | {"evaluation": max(evaluation_s or 0.0, 0.0)}


def _whole_s(record: Record) -> float:
    """From its start to its record.

    The stamps are of a clock that somebody may have set meanwhile, so the trial's own is the least, and with
    what the controller did beside it the most; container calls are in both, so it is not their sum.
    """
    least = max(record.trial.total_s, 0.0)
    start, end = moment(record.started_at), moment(record.finished_at)
    if start is None or end is None:
        return least
    stamped = (end - start).total_seconds()
    return min(max(stamped, least), least + max(record.controller_s, 0.0))
