"""Level 1, what is derived: the tables, best/, the brief and the recipe are those of the ledger and the facts.

Owns    what each derived file must equal
Takes   Evidence
Gives   Checks
Never   builds or imports the recipe
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path

from harness.manifest import manifest_sha256
from lab.bundle.checks import Check
from lab.bundle.evidence import (
    MIB,
    TEXT_CAP_BYTES,
    Evidence,
    Findings,
    as_json,
    look,
    not_looked_at,
    open_regular,
    read_capped,
    same_json,
)
from lab.evaluation import explain
from lab.gate import CONFIG_FILE, WEIGHTS_FILE
from lab.ledger import best_of
from lab.show.results import PARQUET_FILE, TSV_FILE, is_table_of, write_results

PARQUET_CAP_BYTES = 64 * MIB
BRIEF_FILE = "program.md"


def check_derived(evidence: Evidence) -> list[Check]:
    checks = [
        look("results", lambda: _results(evidence)),
        look("best", lambda: _best(evidence)),
        look("audit files", lambda: _audit_files(evidence)),
    ]
    for name, findings, path in (
        ("brief", _brief, evidence.payload / BRIEF_FILE),
        ("recipe", _recipe, evidence.payload / "recipe"),
    ):
        if path.exists():
            checks.append(look(name, lambda findings=findings: findings(evidence)))  # type: ignore[misc]
        else:
            checks.append(not_looked_at(name, f"the bundle has no {path.name}."))
    return checks


def _results(evidence: Evidence) -> Findings:
    with tempfile.TemporaryDirectory(prefix="nightlab-verify-") as scratch:
        write_results(Path(scratch), evidence.records)
        table = read_capped(evidence.payload / TSV_FILE, TEXT_CAP_BYTES)
        if table != (Path(scratch) / TSV_FILE).read_bytes():
            yield f"{TSV_FILE} is not what the ledger gives"
        content = read_capped(evidence.payload / PARQUET_FILE, PARQUET_CAP_BYTES)
        # Another version of pyarrow writes other bytes of the same table.
        if content != (Path(scratch) / PARQUET_FILE).read_bytes() and not is_table_of(
            content, evidence.records
        ):
            yield f"{PARQUET_FILE} is not what the ledger gives"
    return f"{TSV_FILE} and {PARQUET_FILE} are what the ledger gives."


def _best(evidence: Evidence) -> Findings:
    """The published record, configuration and weights are those of the run that the ledger calls the best."""
    best, folder = best_of(evidence.records), evidence.payload / "best"
    if best is None:
        if folder.exists():
            yield "there is a best/, and nothing was measured"
        return "nothing was measured, and nothing is published."
    record = evidence.records[best.number - 1]
    told = json.loads(read_capped(folder / "record.json", MIB))
    if not same_json(told, as_json(record)):
        yield f"best/record.json is not the record of experiment {best.number}"
    training = record.trial.training
    if training is None:
        yield f"experiment {best.number} has no weights to publish"
        return ""
    found = []
    for name, sha256, cap_bytes in (
        (CONFIG_FILE, training.config_sha256, MIB),
        (WEIGHTS_FILE, training.checkpoint_sha256, training.checkpoint_bytes or 0),
    ):
        path = folder / name
        if not path.exists():
            continue
        found.append(name)
        if path.lstat().st_size > cap_bytes or _sha256(path) != sha256:
            yield f"best/{name} is not what experiment {best.number} sealed"
    which = f", with {' and '.join(found)} as sealed" if found else ""
    return f"best/ is experiment {best.number}{which}."


def _audit_files(evidence: Evidence) -> Findings:
    """audit.json of an experiment says what its record says."""
    count = 0
    for record in evidence.records:
        path = evidence.payload / "experiments" / f"{record.number:04d}" / "audit.json"
        if not path.exists():
            continue
        count += 1
        told, audit = json.loads(read_capped(path, MIB)), record.trial.audit
        if audit is None:  # spoilt after its audit, say, by another experiment's end
            yield f"experiment {record.number} has an audit.json, and its record no audit"
            continue
        derived = dataclasses.asdict(audit) | {
            "passed": audit.passed,
            "reason": None if audit.passed else explain(audit),
            "audit_s": record.trial.audit_s,
        }
        if not same_json(told, derived):
            yield f"the audit.json of experiment {record.number} is not what its record says"
    return f"{count} audit.json files say what the records say."


def _brief(evidence: Evidence) -> Findings:
    content = read_capped(evidence.payload / BRIEF_FILE, TEXT_CAP_BYTES)
    first = evidence.records[0].program_sha256 if evidence.records else None
    if hashlib.sha256(content).hexdigest() != first:
        yield f"{BRIEF_FILE} is not the brief of the first experiment"
    later = sum(record.program_sha256 != first for record in evidence.records)
    changed = f"; {later} experiments had a later one" if later else ""
    return f"{BRIEF_FILE} is the brief of the first experiment{changed}."


def _recipe(evidence: Evidence) -> Findings:
    """The recipe is the harness that every score names, and has what an image is built from."""
    recipe, facts = evidence.payload / "recipe", evidence.facts
    sha256 = manifest_sha256(recipe / "harness")
    if sha256 != facts.harness_sha256:
        yield f"its harness is {sha256[:12]}, and the scores are of {facts.harness_sha256[:12]}"
    lock = f"{'cuda' if facts.variant == 'cuda' else 'cpu'}.lock"
    for name in ("Dockerfile", "pins.toml", lock):
        if not (recipe / "images" / name).is_file():
            yield f"it has no images/{name}"
    return f"the harness {sha256[:12]} that every score names, with Dockerfile, pins and {lock}."


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
