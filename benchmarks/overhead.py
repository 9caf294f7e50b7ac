"""What an experiment costs beside its training, and how much of that is the controller's own.

    make bench-overhead

Runs a short night on the `smoke` profile with real containers and reads the figures from its ledger:

    overhead_s          from "create" to "record written", less the training budget; median of those
                        that were not audited
    audit_s             what the audit and the holdout add; median of those that were
    controller_s        of that: git, the ledger and the engine's calls; median
    controller_peak_mb  peak memory of a process that did all a controller does, with 1,000 records

Runs on the host.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.machine import machine
from harness.profiles import PROFILES
from lab.cli.options import say, settings_of
from lab.ledger import Ledger, Record
from lab.overnight import overnight
from lab.show.results import write_results
from tests.unit.nights import make_night

RECORDS = 1000


def peak_memory_mb() -> float:
    """The most memory this process has had; ru_maxrss would include its parent's."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def wall_s(record: Record) -> float:
    """From the first step of the experiment to its record."""
    started, finished = map(datetime.fromisoformat, (record.started_at, record.finished_at))
    return (finished - started).total_seconds()


def main() -> None:
    """Run, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        night = overnight(
            settings_of(
                profile="smoke",
                agent="offline",
                runs=Path(folder),
                tag="overhead",
                experiments=arguments.experiments,
            ),
            say,
        )
        records = [r for r in night.campaign.ledger.records if r.trial.val_bpb is not None]
        write_results(Path(folder), keep_records(Path(folder) / "long.jsonl"))
    peak_mb = peak_memory_mb()
    budget_s = PROFILES["smoke"].train_budget_s
    rows = [
        (
            record.number,
            wall_s(record) - budget_s,
            record.trial.training.startup_s or 0.0 if record.trial.training else 0.0,
            record.trial.evaluation_s or 0.0,
            record.trial.audit_s if record.trial.audit else None,
            record.controller_s,
        )
        for record in records
    ]
    print(
        f"{'experiment':>10} {'overhead':>9} {'start-up':>9} {'scoring':>8} {'audit':>7} {'controller':>11}"
    )
    for number, overhead, startup, scoring, audit, controller in rows:
        audited = f"{audit:>6.2f}s" if audit is not None else f"{'':>7}"
        print(
            f"{number:>10} {overhead:>8.2f}s {startup:>8.2f}s {scoring:>7.2f}s {audited} {controller:>10.2f}s"
        )
    plain = [row for row in rows if row[4] is None] or rows
    audits = [row[4] for row in rows if row[4] is not None]
    result = {
        "name": "overhead",
        "machine": machine(),
        "overhead_s": round(statistics.median(row[1] for row in plain), 2),
        "audit_s": round(statistics.median(audits), 2) if audits else None,
        "controller_s": round(statistics.median(row[5] for row in rows), 3),
        "controller_peak_mb": round(peak_mb, 1),
        "records": RECORDS,
    }
    print(json.dumps(result))


def keep_records(path: Path) -> list[Record]:
    """A ledger of 1,000 records, written and read as a long campaign's would be."""
    ledger = Ledger.open(path, anchor="0" * 64)
    for record in make_night(RECORDS):
        ledger.append(record)
    return Ledger.open(path, anchor="0" * 64).records


if __name__ == "__main__":
    main()
