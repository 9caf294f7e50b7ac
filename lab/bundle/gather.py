"""What of a campaign goes into its bundle, as a folder.

Owns    which files are shipped, and what each must be
Takes   a campaign's folder that is locked, and its records
Gives   the payload: the data/ folder of a bag
Never   ships a file that follows from the ledger as it lies there: it is derived again
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.manifest import frozen_files, manifest_sha256
from lab.agents.transcript import read_transcript
from lab.bundle.layout import DATA_MANIFEST, GIT_BUNDLE, PAYLOAD, PROGRAM, most_bytes
from lab.bundle.private import Private
from lab.bundle.sealed import hash_file
from lab.bundle.shipping import without_private
from lab.campaign import LEDGER_FILE
from lab.errors import BundleError, CampaignError
from lab.evaluation import report
from lab.facts import FACTS_FILE, Facts
from lab.host import Say
from lab.ledger import Ledger, Record, best_of
from lab.preparation import MANIFEST as PREPARED
from lab.redaction import plain
from lab.report.drawing import PROGRESS_FILE
from lab.settings import CHECKOUT, Settings
from lab.show.results import write_results
from lab.workspace import Workspace

AUDIT = "audit.json"
_OF_AN_EXPERIMENT = ("telemetry.parquet", "curve.parquet", "train.log")
LOG = "train.log"
_OF_THE_BEST = ("train.py", "config.json", "record.json")
_WEIGHTS = "model.safetensors"
MAX_LOG_BYTES = 4 * 2**20


def copy_records(folder: Path, payload: Path, facts: Facts, content: bytes) -> list[Record]:
    (payload / FACTS_FILE).write_bytes(content)
    # A copy, because opening a ledger sets aside what a power cut tore.
    ledger = payload / LEDGER_FILE
    source = folder / LEDGER_FILE
    ledger.write_bytes(source.read_bytes() if source.exists() else b"")
    try:
        records = Ledger.open(ledger, anchor=hashlib.sha256(content).hexdigest()).records
    except CampaignError as error:  # which names the copy
        raise CampaignError(
            f"the ledger {source} was altered.", why=error.why, do=error.do
        ) from error
    ledger.with_suffix(".torn").unlink(missing_ok=True)
    # Not the campaign's own tables: a night that was killed may have left them a record behind.
    write_results(payload, records)
    if (folder / PROGRESS_FILE).is_file():
        shutil.copyfile(folder / PROGRESS_FILE, payload / PROGRESS_FILE)
    if not (folder / "repo" / ".git").exists():
        raise _unsettled(facts.tag, "it has no repository")
    workspace = Workspace.open(folder / "repo", tag=facts.tag, seed="")
    best = best_of(records)
    try:
        if best is not None and workspace.head() != best.commit:
            raise _unsettled(facts.tag, "its branch is not at its best experiment")
        workspace.write_bundle(payload / GIT_BUNDLE)
    finally:
        workspace.close()
    return records


def copy_experiments(
    folder: Path, payload: Path, records: Sequence[Record], private: Private, say: Say
) -> None:
    for record in records:
        source = folder / "experiments" / f"{record.number:04d}"
        place = payload / "experiments" / source.name
        for name in _OF_AN_EXPERIMENT:
            if (source / name).is_file():
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, place / name)
        if record.trial.audit is not None:
            # From the record, which is what was decided on: a file may be left of a run that was killed.
            place.mkdir(parents=True, exist_ok=True)
            fields = report(record.trial.audit, record.trial.audit_s)
            (place / AUDIT).write_text(json.dumps(fields, indent=1) + "\n")
        if (place / LOG).exists():
            _clean_log(place / LOG, f"experiments/{source.name}/{LOG}", private, say)


def _clean_log(log: Path, name: str, private: Private, say: Say) -> None:
    """Nothing is decided by a log, and its words are a model's: it may be changed, and it is said."""
    content = log.read_bytes()
    if len(content) > MAX_LOG_BYTES:
        say(f"{name}: only its first {MAX_LOG_BYTES} bytes are shipped")
    text = content[:MAX_LOG_BYTES].decode("utf-8", "replace")
    log.write_text(without_private(text, private, name, say), encoding="utf-8", newline="")


def copy_best(folder: Path, payload: Path, records: Sequence[Record], *, weights: bool) -> None:
    source, place = folder / "best", payload / "best"
    best = best_of(records)
    if best is not None and _number_in(source / "record.json") != best.number:
        raise _unsettled(folder.name, f"its best/ is not experiment {best.number}")
    if weights and not (source / _WEIGHTS).is_file():
        raise BundleError(
            "this campaign has no weights to ship.",
            why=f"there is no {_WEIGHTS} in {source}.",
            do="leave --with-weights away; nothing was written.",
        )
    for name in (*_OF_THE_BEST, *([_WEIGHTS] if weights else [])):
        if best is not None and (source / name).is_file():
            place.mkdir(exist_ok=True)
            shutil.copyfile(source / name, place / name)


def _number_in(record: Path) -> int | None:
    try:
        return int(json.loads(record.read_bytes())["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _unsettled(tag: str, why: str) -> BundleError:
    return BundleError(
        f"the campaign {tag} was interrupted, and is not yet as its ledger says.",
        why=f"{why}.",
        do=f"let it settle: make overnight TAG={tag} EXPERIMENTS=0; nothing was written.",
    )


def copy_recipe(settings: Settings, folder: Path, payload: Path, facts: Facts, say: Say) -> None:
    """What the image was built from: the campaign's own copy, else this checkout if it is the same."""
    own = folder / "recipe"
    source = own if (own / "harness").is_dir() and (own / "images").is_dir() else CHECKOUT
    if manifest_sha256(source / "harness") != facts.harness_sha256:
        raise BundleError(
            f"the harness in {source} is not the one that made {facts.tag}.",
            why=f"its sha256 is {manifest_sha256(source / 'harness')[:12]}, the campaign has "
            f"{facts.harness_sha256[:12]}: a receiver would rebuild another image.",
            do="check that version out (git worktree add ../then COMMIT), and run `lab bundle` there with "
            f"NIGHTLAB_RUNS={settings.runs.resolve()}; nothing was written.",
        )
    recipe = payload / "recipe"
    for room in ("images", "harness"):
        for file in frozen_files(source / room):
            place = recipe / room / file.relative_to(source / room)
            most = most_bytes(f"{PAYLOAD}/{place.relative_to(payload).as_posix()}") or 0
            if room == "images" and file.stat().st_size > most:
                continue  # a wheel or an editor's copy: no file that decides what is in the image
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    manifest = settings.data / facts.profile / PREPARED
    if manifest.is_file() and hash_file(manifest).sha256 == facts.data_sha256:
        shutil.copyfile(manifest, recipe / DATA_MANIFEST)
    else:
        say("the manifest of the data is not here any more: the bundle has its sha256 alone")


def copy_program(settings: Settings, payload: Path, records: Sequence[Record], say: Say) -> None:
    """The brief, if it is still the one that the campaign began with."""
    text = settings.program.read_bytes() if settings.program.is_file() else b""
    if records and hashlib.sha256(text).hexdigest() == records[0].program_sha256:
        (payload / PROGRAM).write_bytes(text)
    else:
        say(f"{settings.program.name} was changed since the campaign began, and is not shipped")


def copy_transcripts(folder: Path, payload: Path, private: Private) -> None:
    place = payload / "transcripts"
    for file in sorted((folder / "transcripts").glob("*.jsonl.gz")):
        place.mkdir(exist_ok=True)
        lines = [
            json.dumps(plain(line, longest=400_000), sort_keys=True, ensure_ascii=False)
            for line in read_transcript(file)
        ]
        text = "".join(private.without(line) + "\n" for line in lines)
        (place / file.stem).write_text(text, encoding="utf-8", newline="")
