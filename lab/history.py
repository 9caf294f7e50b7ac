"""The ledger as an agent may see it: the way back from Records to the next Brief.

Owns    what of a Record is shown, and how its log is made safe
Takes   Records, and the folders of experiments
Gives   a Brief
Never   shows a holdout score, a host path, or what a model container printed
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.agents import Proposal, transcripts_of
from lab.ledger import BASELINE, CANDIDATE, CONFIRM, Ledger, Record
from lab.lineage import gains_over_parent
from lab.notebook import add_note
from lab.prompt import Brief, Past
from lab.training import clean
from lab.verdict import Noise
from lab.vitals import vitals_of

LOG_TAIL_BYTES = 4096
MAX_LOG_BYTES = 2**20
MAX_NOTEBOOK_BYTES = 64 * 1024


def write_brief(
    ledger: Ledger,
    *,
    noise: Noise | None,
    profile: str,
    program: str,
    train_py: str,
    parent_number: int | None = None,
    seconds_left: float | None,
    folder_of: Callable[[int], Path],
    contract: str = "",
    prepare_py: str = "",
    notebook: Path | None = None,
    pinned: Sequence[str] = (),
    waiting: Sequence[Proposal] = (),
) -> Brief:
    """Everything the agent may know when it proposes the next experiment.

    `waiting` are proposals without a record: the one that runs, and those that are ready.
    """
    best = ledger.best()
    paid = [(record.cost_usd, record.agent_tokens) for record in _paid_for(ledger.records)]
    paid += [(proposal.cost_usd, proposal.tokens) for proposal in waiting]
    # A number is never given twice: a record may pay for several conversations, so counting records would. One that
    # was killed stands nowhere yet, gets its number again, and finds in its transcript what it has cost already.
    facts = [each.facts for each in ledger.records] + [each.facts for each in waiting]
    talks = {number for each in facts for number in transcripts_of(each)}
    over_parent = gains_over_parent(ledger.records)
    return Brief(
        number=len(ledger.records) + 1,
        profile=profile,
        program=program,
        train_py=train_py,
        baseline_bpb=ledger.baseline_bpb(),
        best_bpb=best.val_bpb if best else None,
        noise_bpb=noise.sd_bpb if noise else None,
        seconds_left=seconds_left,
        history=tuple(
            _past(
                record,
                _decided(record, ledger.records),
                folder_of(record.number),
                over_parent.get(record.number),
            )
            for record in ledger.records
            if record.kind in (BASELINE, CANDIDATE) and record.trial.status.says_something
        ),
        contract=contract,
        prepare_py=prepare_py,
        notebook=_read_end(notebook, MAX_NOTEBOOK_BYTES) if notebook else "",
        pinned=tuple(pinned),
        proposal=max(talks, default=0) + 1,
        spent_usd=sum(usd or 0.0 for usd, _ in paid),
        spent_tokens=sum(tokens or 0 for _, tokens in paid),
        code_of=lambda number: _text_of(folder_of(number) / "train.py"),
        diff_of=lambda number: _text_of(folder_of(number) / "change.diff"),
        log_of=lambda number: _read_end(folder_of(number) / "train.log", MAX_LOG_BYTES) or None,
        remember=lambda note: _remember(notebook, note),
        parent_number=parent_number,
    )


def _paid_for(records: Sequence[Record]) -> list[Record]:
    """The records whose cost is their own: what was lost and run again was paid for once."""
    return [record for record in records if record.kind == CANDIDATE and record.repeats is None]


def _text_of(path: Path) -> str | None:
    try:
        return clean(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def _remember(notebook: Path | None, note: str) -> None:
    """Add a line to the notebook; a full disk loses the note, not the night."""
    if notebook is None:
        return
    with contextlib.suppress(OSError):
        add_note(notebook, note)


def _decided(record: Record, records: Sequence[Record]) -> Record:
    """The run that decided about a candidate: its last re-run, else itself."""
    for later in reversed(records):
        if (
            later.kind == CONFIRM
            and later.original == record.number
            and later.trial.status.says_something
        ):
            return later
    return record


def _past(record: Record, decided: Record, folder: Path, over_parent: float | None) -> Past:
    return Past(
        number=record.number,
        kind=record.kind,
        title=record.title,
        hypothesis=record.hypothesis,
        status=decided.trial.status.value,
        kept=decided.verdict.keep,
        val_bpb=decided.trial.val_bpb,
        gain_bpb=decided.verdict.gain_bpb,
        reason=decided.trial.reason or decided.verdict.sentence,
        facts=record.facts,
        log_tail=read_log_tail(folder / "train.log"),
        over_parent_bpb=over_parent,
        vitals=vitals_of(decided.trial),
    )


def read_log_tail(path: Path) -> str:
    """The last 4 KB of a train.log, without control characters; empty when there is none."""
    return _read_end(path, LOG_TAIL_BYTES)


def _read_end(path: Path, most_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - most_bytes))
            return clean(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""
