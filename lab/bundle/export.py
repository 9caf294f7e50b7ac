"""`lab bundle`: a campaign's folder into one file, the same bytes whenever and wherever it is done.

Owns    the order: gather, look for what is private, seal, write, open again
Takes   a campaign that nobody is working on
Gives   a bundle, which passes its own level 0
Never   ships events.jsonl, a proposal, a model's output, or anything private that it found
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.bundle import crate
from lab.bundle.archive import SEAL_BYTES, SEAL_HEAD, write_archive
from lab.bundle.gather import (
    copy_best,
    copy_experiments,
    copy_program,
    copy_recipe,
    copy_records,
    copy_transcripts,
)
from lab.bundle.layout import (
    CRATE,
    PAYLOAD,
    SUFFIX,
    most_bytes,
    top_of,
)
from lab.bundle.private import what_is_private
from lab.bundle.sealed import (
    SIGNATURE,
    STATEMENT,
    TAG_MANIFEST,
    Stored,
    hash_file,
    tag_files,
    tag_manifest,
)
from lab.bundle.shipping import refuse_private
from lab.bundle.signature import sign
from lab.bundle.unpacked import opened
from lab.engine import ensure_engine
from lab.errors import BadInput, BundleError
from lab.facts import FACTS_FILE, Facts, read_facts
from lab.host import Say
from lab.ledger import Record
from lab.runs import find_campaign, kept_still
from lab.settings import Settings


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
    with kept_still(folder), tempfile.TemporaryDirectory(prefix="nightlab-export-") as scratch:
        bag = Path(scratch)
        payload = bag / PAYLOAD
        payload.mkdir()
        content = (folder / FACTS_FILE).read_bytes()
        facts = read_facts(folder / FACTS_FILE, content)
        records = copy_records(folder, payload, facts, content)
        copy_experiments(folder, payload, records, private, say)
        copy_best(folder, payload, records, weights=wanted.weights)
        copy_recipe(settings, folder, payload, facts, say)
        copy_program(settings, payload, records, say)
        if wanted.transcripts:
            copy_transcripts(folder, payload, private)
        refuse_private(payload, private, say)
        if wanted.image:
            _copy_image(settings, payload, facts, say)
        finished = records[-1].finished_at if records else facts.created_at
        anchor = hashlib.sha256(content).hexdigest()
        names = _seal(bag, facts, records, anchor=anchor, finished_at=finished, key=wanted.key)
        digest = _write(bag, output, facts.tag, names)
    return Exported(file=output, sha256=digest, size=output.stat().st_size, files=len(names))


def _copy_image(settings: Settings, payload: Path, facts: Facts, say: Say) -> None:
    from lab.container import Engine
    from lab.image.moved import export_oci

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
