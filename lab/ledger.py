"""The ledger: every experiment, in order, on disk before anything acts on it.

Owns    ledger.jsonl: append-only, fsynced, each line with the sha256 of the line before
Takes   Records
Gives   Records, and what follows from them: the best, the noise, what is still open
Never   changes a line; what is torn by a power cut is set aside, and said

The first line carries the sha256 of campaign.json, so that settings, image and hardware cannot be
exchanged under the results either.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.errors import CampaignError
from lab.outcome import Status
from lab.trial import Trial
from lab.verdict import Bar, Noise, Verdict, noise_groups, pool_noise

BASELINE = "baseline"  # the seed train.py
CANDIDATE = "candidate"  # a proposal, for the first time
CONFIRM = "confirm"  # a candidate that looked better, with a fresh seed: what is decided on
AUDIT = "audit"  # somebody wants to know; nothing follows from it
KINDS = (BASELINE, CANDIDATE, CONFIRM, AUDIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One experiment, complete: what was proposed, what was run, what came of it."""

    number: int
    kind: str  # one of KINDS
    title: str
    hypothesis: str
    agent: str
    facts: dict[str, str]  # the agent's own notes
    cost_usd: float | None
    agent_tokens: int | None
    repeats: int | None  # the lost experiment that this one runs again
    original: int | None  # the candidate or experiment whose code a "confirm" or "audit" runs again
    parent: str | None  # commit; None for a proposal that never became code
    commit: str | None
    lines_added: int | None  # of the diff
    lines_removed: int | None
    net_lines: int | None  # of code, against the best: what the verdict's price is for
    program_sha256: str
    started_at: str  # UTC, ISO 8601
    finished_at: str
    agent_s: float  # waiting for the proposal
    controller_s: float  # git, ledger and container calls of the lab itself
    trial: Trial
    verdict: Verdict


_RECORD = TypeAdapter(Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The line of descent's head: what the next candidate must beat, and starts from."""

    number: int  # of the experiment whose weights these are
    commit: str
    bar: Bar  # the mean of its runs: a baseline's, or a kept candidate's re-runs

    @property
    def val_bpb(self) -> float:
        return self.bar.mean_bpb


def baselines_of(records: Sequence[Record]) -> list[Record]:
    """The measured runs of the seed train.py."""
    return [r for r in records if r.kind == BASELINE and r.trial.val_bpb is not None]


def reruns_of(records: Sequence[Record], number: int) -> list[Record]:
    """The measured re-runs of candidate `number`, oldest first."""
    return [
        r
        for r in records
        if r.kind == CONFIRM and r.original == number and r.trial.val_bpb is not None
    ]


def best_of(records: Sequence[Record]) -> Best | None:
    """The last kept candidate at the mean of its re-runs, else the baseline; None before any run."""
    runs = baselines_of(records)
    for record in reversed(records):
        if record.verdict.keep and record.original is not None:
            runs = reruns_of(records, record.original)
            break
    if not runs or runs[-1].commit is None:
        return None
    training = runs[-1].trial.training
    return Best(
        number=runs[-1].number,
        commit=runs[-1].commit,
        bar=Bar(
            mean_bpb=statistics.fmean(scores_of(runs)),
            runs=len(runs),
            memory_bytes=training.peak_memory_bytes if training else None,
        ),
    )


def noise_of(
    records: Sequence[Record], prior: Noise | None, *, also: tuple[int, float] | None = None
) -> Noise | None:
    """How much seeds alone move the score: the spread within runs of the same code.

    `also` is one more re-run, of this candidate and with this score, that has no Record yet.
    """
    runs: dict[int, list[float]] = {}
    for record in records:  # one pass: a verification asks it of every record
        if record.kind == CANDIDATE and record.verdict.confirm:
            runs[record.number] = scores_of([record])
        elif record.kind == CONFIRM and record.original in runs:
            runs[record.original] += scores_of([record])
    if also and also[0] in runs:
        runs[also[0]].append(also[1])
    candidates = list(runs.values())
    groups = noise_groups(scores_of(baselines_of(records)), candidates, prior)
    return pool_noise(groups, prior)


def scores_of(records: Sequence[Record]) -> list[float]:
    return [r.trial.val_bpb for r in records if r.trial.val_bpb is not None]


def tolerance_of(records: Sequence[Record]) -> float | None:
    """What a campaign's A/A run allows two honest containers to differ by; None before it."""
    for record in records:
        audit = record.trial.audit
        measured = record.trial.status is Status.MEASURED
        if record.kind == BASELINE and measured and audit and audit.calibrated and audit.passed:
            return audit.tolerance_nats
    return None


def open_candidate(records: Sequence[Record]) -> Record | None:
    """The candidate that looked better and whose last re-run, if any, left it undecided.

    One whose re-runs were lost twice in a row is not asked for again: a file that can make the lab lose its runs
    could draw them until they are lucky.
    """
    lost = 0
    for record in reversed(records):
        lost += record.kind == CONFIRM and record.trial.status is Status.LOST
        if lost >= 2:
            return None
        if record.kind == AUDIT or not record.trial.status.says_something:
            continue
        if not record.verdict.confirm:
            return None
        return record if record.original is None else records[record.original - 1]
    return None


def parse_line(line: bytes) -> tuple[Record, str]:
    """The Record of one line, and the sha256 that it gives for the line before it.

    Raises:
        ValueError: it is not a Record.
    """
    try:
        fields = json.loads(line)
        previous = fields.pop("previous_sha256")
        return _RECORD.validate_python(fields), str(previous)
    except (KeyError, AttributeError, TypeError, RecursionError, ValidationError) as error:
        raise ValueError(f"not a record: {str(error).splitlines()[0]}") from error


class Ledger:
    """An open ledger. Its Records are in memory, in order; 1,000 of them take a few megabytes."""

    def __init__(self, path: Path, anchor: str, records: list[Record], tip: str) -> None:
        self.path = path
        self.anchor = anchor  # sha256 of campaign.json
        self.records = records
        self.torn_bytes = 0  # what a power cut left behind, found and set aside at opening
        self._tip = tip

    @classmethod
    def open(cls, path: Path, *, anchor: str) -> Ledger:
        """Read a ledger, checking every link; an absent file is an empty ledger.

        Raises:
            CampaignError: a line was changed, removed or is not a Record.
        """
        content = path.read_bytes() if path.exists() else b""
        whole, newline, torn = content.rpartition(b"\n")
        ledger = cls(path, anchor, [], anchor)
        for line_number, line in enumerate((whole + newline).splitlines(), start=1):
            ledger._admit(line, line_number)
        if torn:
            ledger._set_aside(torn, keep_bytes=len(whole + newline))
        return ledger

    def append(self, record: Record) -> None:
        """Write one Record and wait until it is on the disk."""
        line = _encode(record, self._tip)
        with self.path.open("ab") as file:
            start = file.tell()
            try:
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                os.truncate(self.path, start)
                raise CampaignError(
                    f"experiment {record.number} could not be written to {self.path}.",
                    why=error.strerror or str(error),
                    do="free some disk and start the same TAG again; every earlier record is intact.",
                ) from error
        self._tip = _sha256(line)
        self.records.append(record)

    def baselines(self) -> list[Record]:
        return baselines_of(self.records)

    def best(self) -> Best | None:
        return best_of(self.records)

    def baseline_bpb(self) -> float | None:
        """The mean score of the baseline; None before it was measured."""
        scores = scores_of(self.baselines())
        return statistics.fmean(scores) if scores else None

    def _admit(self, line: bytes, line_number: int) -> None:
        try:
            record, previous = parse_line(line)
        except ValueError as error:
            raise self._broken(line_number, f"line {line_number} is not a record") from error
        if previous != self._tip:
            raise self._broken(
                line_number, f"line {line_number} does not follow from the line before it"
            )
        self.records.append(record)
        self._tip = _sha256(line)

    def _broken(self, line_number: int, why: str) -> CampaignError:
        return CampaignError(
            f"the ledger {self.path} was altered.",
            why=why + (", or campaign.json was changed" if line_number == 1 else "") + ".",
            do="restore the file from a copy, or start a new TAG; nothing was written.",
        )

    def _set_aside(self, torn: bytes, *, keep_bytes: int) -> None:
        with self.path.with_suffix(".torn").open("ab") as file:
            file.write(torn + b"\n")
            os.fsync(file.fileno())
        os.truncate(self.path, keep_bytes)
        self.torn_bytes = len(torn)


def _encode(record: Record, previous: str) -> bytes:
    fields = dataclasses.asdict(record) | {"previous_sha256": previous}
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
