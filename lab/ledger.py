"""The ledger: every experiment, in order, on disk before anything acts on it.

Owns    ledger.jsonl: append-only, fsynced, each line with the sha256 of the line before
Takes   Records
Gives   Records, and what follows from them: the best, the noise
Never   changes a line; what is torn by a power cut is set aside, and said

The first line carries the sha256 of campaign.json, so that settings, image and hardware cannot be
exchanged under the results either.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.errors import CampaignError
from lab.outcome import Status
from lab.trial import Trial
from lab.verdict import Noise, Verdict, measure_noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One experiment, complete: what was proposed, what was run, what came of it."""

    number: int
    kind: str  # "baseline" or "candidate"
    title: str
    hypothesis: str
    agent: str
    facts: dict[str, str]  # the agent's own notes
    cost_usd: float | None
    agent_tokens: int | None
    repeats: int | None  # the lost experiment that this one runs again
    parent: str | None  # commit; None for a proposal that never became code
    commit: str | None
    lines_added: int | None
    lines_removed: int | None
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

    number: int  # of the experiment whose file and weights these are
    commit: str
    val_bpb: float  # of a baseline: the mean of its runs


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
        return [r for r in self.records if r.kind == "baseline" and r.trial.val_bpb is not None]

    def noise(self) -> Noise | None:
        """The noise of the baseline's runs; None until two were measured."""
        return measure_noise(
            [r.trial.val_bpb for r in self.baselines() if r.trial.val_bpb is not None]
        )

    def best(self) -> Best | None:
        """The last kept candidate, else the baseline at the mean of its runs; None before any run."""
        for record in reversed(self.records):
            if record.verdict.keep and record.commit and record.trial.val_bpb is not None:
                return Best(
                    number=record.number, commit=record.commit, val_bpb=record.trial.val_bpb
                )
        baselines = self.baselines()
        if not baselines or baselines[0].commit is None:
            return None
        scores = [r.trial.val_bpb for r in baselines if r.trial.val_bpb is not None]
        return Best(
            number=baselines[0].number,
            commit=baselines[0].commit,
            val_bpb=sum(scores) / len(scores),
        )

    def baseline_bpb(self) -> float | None:
        """The mean score of the baseline; None before it was measured."""
        scores = [r.trial.val_bpb for r in self.baselines() if r.trial.val_bpb is not None]
        return sum(scores) / len(scores) if scores else None

    def _admit(self, line: bytes, line_number: int) -> None:
        try:
            fields = json.loads(line)
            previous = fields.pop("previous_sha256")
            record = _RECORD.validate_python(fields)
        except (ValueError, KeyError, AttributeError, TypeError, ValidationError) as error:
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


def iterate_measured(records: list[Record]) -> Iterator[Record]:
    """The records that have a score, oldest first."""
    return (r for r in records if r.trial.status is Status.MEASURED)


def _encode(record: Record, previous: str) -> bytes:
    fields = dataclasses.asdict(record) | {"previous_sha256": previous}
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
