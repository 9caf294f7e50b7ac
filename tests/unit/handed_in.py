"""A campaign folder as a night leaves it, for tests of those who look at it and hand in from outside."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from lab.agents import Proposal
from lab.inbox import TICKET_FACT
from lab.ledger import Ledger, Record
from lab.outcome import Status
from lab.waiting import Pending
from tests.faults.files import HONEST
from tests.unit.nights import make_kept, make_record

FACTS = {
    "tag": "nov23",
    "profile": "cpu",
    "agent": "human",
    "fingerprint": {"class": {"cpu": "Xeon", "cores": 2.0}, "class_id": "f00"},
}
HOLDOUT_BPB = 7.654321
BEST = HONEST.replace('"width": 32', '"width": 48')
NIGHT = [
    *[make_record(n, kind="baseline", val_bpb=1.9, holdout_bpb=HOLDOUT_BPB) for n in (1, 2)],
    *make_kept(3, val_bpb=1.85, best_bpb=1.9, holdout_bpb=HOLDOUT_BPB, title="Width 48"),
]
SO_FAR = len(NIGHT)


def make_campaign(runs: Path, records: list[Record] | None = None) -> Path:
    """The folder of the campaign nov23, whose best train.py is BEST."""
    folder = runs / "nov23"
    folder.mkdir(parents=True)
    (folder / "campaign.json").write_text(json.dumps(FACTS))
    for record in NIGHT if records is None else records:
        write_record(folder, record)
    return folder


def write_record(folder: Path, record: Record) -> None:
    """One more experiment, in the ledger and in its folder."""
    Ledger.open(folder / "ledger.jsonl", anchor="a").append(record)
    place = folder / "experiments" / f"{record.number:04d}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.py").write_text(HONEST if record.kind == "baseline" else BEST)
    (place / "change.diff").write_text("-width 32\n+width 48\n")
    (place / "train.log").write_text("step 1\n")


def start(folder: Path, proposal: Proposal) -> int:
    """What a night does before it runs a proposal: write it down. The experiment's number."""
    number = len(Ledger.open(folder / "ledger.jsonl", anchor="a").records) + 1
    place = folder / "experiments" / f"{number:04d}"
    place.mkdir(parents=True, exist_ok=True)
    pending = Pending(number, "candidate", proposal, repeats=None, agent_s=0.0)
    (place / "proposal.json").write_text(json.dumps(asdict(pending)))
    return number


def finish(folder: Path, number: int, ticket: int, *, status: Status = Status.MEASURED) -> None:
    """What a night does after it ran a proposal that was no better."""
    record = make_record(number, status=status, val_bpb=1.95, best_bpb=1.85, title="handed in")
    write_record(folder, replace(record, facts={TICKET_FACT: str(ticket)}))
