"""`lab bundle`: a campaign's folder into one file, the same bytes whenever and wherever it is done.

Owns    what of a campaign is shipped
Takes   a campaign that nobody is working on
Gives   a bundle, which passes its own level 0
Never   ships events.jsonl, a proposal, a model's output, or anything private that it found
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.manifest import frozen_files, manifest_sha256
from lab.agents.transcript import read_transcript
from lab.bundle import crate
from lab.bundle.archive import SEAL_BYTES, SEAL_HEAD, write_archive
from lab.bundle.layout import (
    CRATE,
    DATA_MANIFEST,
    GIT_BUNDLE,
    PAYLOAD,
    PROGRAM,
    SUFFIX,
    most_bytes,
    top_of,
)
from lab.bundle.private import Private, what_is_private
from lab.bundle.sealed import (
    SIGNATURE,
    STATEMENT,
    TAG_MANIFEST,
    Stored,
    hash_file,
    tag_files,
    tag_manifest,
)
from lab.bundle.shipping import refuse_private, without_private
from lab.bundle.signature import sign
from lab.bundle.unpacked import opened
from lab.campaign import LEDGER_FILE
from lab.engine import ensure_engine
from lab.errors import BadInput, BundleError
from lab.evaluation import report
from lab.facts import FACTS_FILE, Facts, read_facts
from lab.host import Say
from lab.ledger import Ledger, Record, best_of
from lab.preparation import MANIFEST as PREPARED
from lab.redaction import plain
from lab.runs import find_campaign, locked
from lab.settings import CHECKOUT, Settings
from lab.show.progress import PROGRESS_FILE
from lab.show.results import write_results
from lab.workspace import Workspace

AUDIT = "audit.json"
_OF_AN_EXPERIMENT = ("telemetry.parquet", "curve.parquet", "train.log")
LOG = "train.log"
_OF_THE_BEST = ("train.py", "config.json", "record.json")
_WEIGHTS = "model.safetensors"
MAX_LOG_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What goes into a bundle besides the records."""

    key: Path | None = None
    weights: bool = False
    image: bool = False
    transcripts: bool = False
    allowed: tuple[str, ...] = ()  # texts that look private, and may be shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A bundle that was written."""

    file: Path
    sha256: str
    size: int
    files: int


def export(settings: Settings, output: Path | None, wanted: Wanted, say: Say) -> Exported:
    """Write the bundle of a campaign.

    Raises:
        BadInput: there is no such campaign or key, or `output` is a file of another kind.
        CampaignBusy: a controller is working on it.
        CampaignError: its ledger or repository was altered.
        BundleError: it holds something private, or the checkout is not the one that made it.
    """
    try:
        return _export(settings, output, wanted, say)
    except OSError as error:
        raise BundleError(
            "the bundle could not be written.",
            why=f"{error.strerror or error}: {error.filename}" if error.filename else str(error),
            do="see that the campaign can be read, and that there is room (TMPDIR, --output); it is as it was.",
        ) from error


def _export(settings: Settings, output: Path | None, wanted: Wanted, say: Say) -> Exported:
    folder = find_campaign(settings.runs, settings.tag)
    output = output or Path(f"{top_of(folder.name)}{SUFFIX}")
    _refuse_to_replace(output)
    private = what_is_private(settings, wanted.allowed)
    with locked(folder), tempfile.TemporaryDirectory(prefix="nightlab-export-") as scratch:
        bag = Path(scratch)
        payload = bag / PAYLOAD
        payload.mkdir()
        content = (folder / FACTS_FILE).read_bytes()
        facts = read_facts(folder / FACTS_FILE, content)
        records = _copy_records(folder, payload, facts, content)
        _copy_experiments(folder, payload, records, private, say)
        _copy_best(folder, payload, records, weights=wanted.weights)
        _copy_recipe(settings, folder, payload, facts, say)
        _copy_program(settings, payload, records, say)
        if wanted.transcripts:
            _copy_transcripts(folder, payload, private)
        refuse_private(payload, private, say)
        if wanted.image:
            _copy_image(settings, payload, facts, say)
        finished = records[-1].finished_at if records else facts.created_at
        anchor = hashlib.sha256(content).hexdigest()
        names = _seal(bag, facts, records, anchor=anchor, finished_at=finished, key=wanted.key)
        digest = _write(bag, output, facts.tag, names)
    return Exported(file=output, sha256=digest, size=output.stat().st_size, files=len(names))


def _copy_records(folder: Path, payload: Path, facts: Facts, content: bytes) -> list[Record]:
    (payload / FACTS_FILE).write_bytes(content)
    # A copy, because opening a ledger sets aside what a power cut tore.
    ledger = payload / LEDGER_FILE
    source = folder / LEDGER_FILE
    ledger.write_bytes(source.read_bytes() if source.exists() else b"")
    records = Ledger.open(ledger, anchor=hashlib.sha256(content).hexdigest()).records
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


def _copy_experiments(
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


def _copy_best(folder: Path, payload: Path, records: Sequence[Record], *, weights: bool) -> None:
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


def _copy_recipe(settings: Settings, folder: Path, payload: Path, facts: Facts, say: Say) -> None:
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


def _copy_program(settings: Settings, payload: Path, records: Sequence[Record], say: Say) -> None:
    """The brief, if it is still the one that the campaign began with."""
    text = settings.program.read_bytes() if settings.program.is_file() else b""
    if records and hashlib.sha256(text).hexdigest() == records[0].program_sha256:
        (payload / PROGRAM).write_bytes(text)
    else:
        say(f"{settings.program.name} was changed since the campaign began, and is not shipped")


def _copy_transcripts(folder: Path, payload: Path, private: Private) -> None:
    place = payload / "transcripts"
    for file in sorted((folder / "transcripts").glob("*.jsonl.gz")):
        place.mkdir(exist_ok=True)
        lines = [
            json.dumps(plain(line, longest=400_000), sort_keys=True, ensure_ascii=False)
            for line in read_transcript(file)
        ]
        text = "".join(private.without(line) + "\n" for line in lines)
        (place / file.stem).write_text(text, encoding="utf-8", newline="")


def _copy_image(settings: Settings, payload: Path, facts: Facts, say: Say) -> None:
    from lab.container import Engine
    from lab.image.moved import export_oci  # type: ignore[import-not-found]

    say("putting the image into the bundle (minutes)")
    with Engine.connect(ensure_engine(settings, say)) as engine:
        export_oci(engine, facts.image_id, payload / "image")


def _seal(
    bag: Path,
    facts: Facts,
    records: Sequence[Record],
    *,
    anchor: str,
    finished_at: str,
    key: Path | None,
) -> list[str]:
    """Write everything that is about the payload; the names of all files."""
    payload = bag / PAYLOAD
    stored: dict[str, Stored] = {}
    for file in sorted(path for path in payload.rglob("*") if path.is_file()):
        stored[file.relative_to(bag).as_posix()] = hash_file(file)
    sizes = {name.partition("/")[2]: one.size for name, one in stored.items()}
    (payload / CRATE).write_bytes(crate.describe(facts, records, sizes, finished_at=finished_at))
    stored[f"{PAYLOAD}/{CRATE}"] = hash_file(payload / CRATE)
    files = tag_files(stored, facts, anchor=anchor, finished_at=finished_at)
    for name, content in files.items():
        (bag / name).write_bytes(content)
    if key is not None:
        files[SIGNATURE] = sign(bag / STATEMENT, key).read_bytes()
    files[TAG_MANIFEST] = tag_manifest(files)
    (bag / TAG_MANIFEST).write_bytes(files[TAG_MANIFEST])
    names = [*stored, *files]
    for name in names:
        most = most_bytes(name)
        if most is None or (bag / name).stat().st_size > most:
            raise BundleError(
                f"{name} cannot be in a bundle.",
                why="it is too large, or has a name that no receiver takes.",
                do="look at that file in the campaign's folder; nothing was written.",
            )
    return names


def _write(bag: Path, output: Path, tag: str, names: Sequence[str]) -> str:
    draft = output.with_name(f".{output.name}.new")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            digest = write_archive(file, bag, top_of(tag), names)
        with opened(draft):  # what we would not accept ourselves is not sent to anybody
            draft.replace(output)
    except OSError as error:
        raise BundleError(
            f"{output} could not be written.",
            why=error.strerror or str(error),
            do="name a place that can be written with --output; the campaign is as it was.",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return digest


def _refuse_to_replace(output: Path) -> None:
    """An older bundle may be replaced; anything else is somebody's."""
    if not output.exists():
        return
    if output.is_file() and output.stat().st_size > SEAL_BYTES:
        with output.open("rb") as file:
            file.seek(-SEAL_BYTES, 2)
            if file.read(len(SEAL_HEAD)) == SEAL_HEAD:
                return
    raise BadInput(
        f"{output} is there, and is no bundle.",
        do="name another file with --output; nothing was changed.",
    )
