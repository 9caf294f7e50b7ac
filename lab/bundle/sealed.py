"""What vouches for the files of a bundle: BagIt manifests, and an in-toto statement with SLSA provenance.

Owns    bagit.txt, bag-info.txt, the two manifests and statement.json
Takes   the payload's sha256s, sizes and campaign
Gives   those files; and, of a stranger's bundle, Checks
Never   believes one of them: each is made again from the payload, and must be the same byte for byte

So a statement cannot say what the payload does not: there is exactly one for each payload.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.bundle.checks import Check
from lab.bundle.layout import PAYLOAD
from lab.errors import BadBundle, CampaignError
from lab.facts import FACTS_FILE, Facts, read_facts
from lab.show.words import one_line

BAGIT = "bagit.txt"
BAG_INFO = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
STATEMENT = "statement.json"
SIGNATURE = "statement.json.sig"

BAGIT_BYTES = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
FORMAT = "1"  # of a bundle as a whole; another number is another layout
URN = "urn:nightlab"  # a name and no address: nothing about a bundle depends on a server


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One file, as it was hashed."""

    sha256: str
    size: int


def hash_file(path: Path) -> Stored:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Stored(sha256=digest, size=path.stat().st_size)


def tag_files(
    payload: Mapping[str, Stored], facts: Facts, *, anchor: str, finished_at: str
) -> dict[str, bytes]:
    """Every file beside the payload but the signature and the tag manifest, which come last.

    `payload` is by name, `data/` included; `anchor` is the sha256 of campaign.json, `finished_at` the last
    stamp of the campaign. There is no date of export: two exports are the same bytes.
    """
    manifest = _manifest({name: stored.sha256 for name, stored in payload.items()})
    size = sum(stored.size for stored in payload.values())
    info = {
        "Bag-Software-Agent": f"nightlab, bundle format {FORMAT}",
        "Bagging-Date": finished_at[:10],
        "External-Description": "A campaign of autonomous research, with its records and its code",
        "External-Identifier": facts.tag,
        "Payload-Oxum": f"{size}.{len(payload)}",
    }
    statement = _statement(payload, manifest, facts, anchor=anchor, finished_at=finished_at)
    return {
        BAGIT: BAGIT_BYTES,
        BAG_INFO: "".join(f"{name}: {value}\n" for name, value in info.items()).encode(),
        MANIFEST: manifest,
        STATEMENT: json.dumps(statement, indent=1, sort_keys=True).encode() + b"\n",
    }


def tag_manifest(files: Mapping[str, bytes]) -> bytes:
    return _manifest({name: _sha256(content) for name, content in files.items()})


def check_bag(
    folder: Path, stored: Mapping[str, Stored], *, facts: Facts, anchor: str, finished_at: str
) -> list[Check]:
    """See that manifests and statement are exactly those of the payload that was unpacked to `folder`.

    Raises:
        BadBundle: one is missing, names what is not there, or says something else.
    """
    payload = {name: one for name, one in stored.items() if name.startswith(f"{PAYLOAD}/")}
    listed = _read_manifest(folder / MANIFEST)
    for name in sorted(listed.keys() | payload.keys()):
        if name not in payload:
            raise BadBundle("manifests", f"{name} is in the manifest and not in the bundle.")
        if name not in listed:
            raise BadBundle("manifests", f"{name} is in the bundle and not in its manifest.")
        if listed[name] != payload[name].sha256:
            raise BadBundle("manifests", f"{name} is not what the manifest lists.")
    wanted = tag_files(payload, facts, anchor=anchor, finished_at=finished_at)
    for name, content in wanted.items():
        if not (folder / name).exists():
            raise BadBundle("manifests", f"{name} is missing.")
        if (folder / name).read_bytes() != content:
            check = "statement" if name == STATEMENT else "manifests"
            raise BadBundle(check, f"{name} does not say what follows from the payload.")
    if (folder / SIGNATURE).exists():
        wanted[SIGNATURE] = (folder / SIGNATURE).read_bytes()
    if _read(folder / TAG_MANIFEST) != tag_manifest(wanted):
        raise BadBundle("manifests", f"{TAG_MANIFEST} does not list what is there.")
    size = sum(one.size for one in payload.values())
    return [
        Check(
            level=0,
            name="manifests",
            passed=True,
            words=f"{len(payload)} files, {size / 1e6:.1f} MB, have the sha256 that BagIt lists",
        ),
        Check(
            level=0,
            name="statement",
            passed=True,
            words=f"in-toto and SLSA say what the files say: campaign {facts.tag}, image {facts.image_id[:19]}",
        ),
    ]


def facts_of(payload: Path) -> tuple[Facts, str]:
    """The campaign of a payload, and the sha256 that its ledger's chain begins at.

    Raises:
        BadBundle: there is no campaign.json, or it is none.
    """
    content = _read(payload / FACTS_FILE)
    try:
        return read_facts(payload / FACTS_FILE, content), _sha256(content)
    except (CampaignError, RecursionError) as error:
        why = error.why if isinstance(error, CampaignError) else "it is nested too deeply"
        # The words may be the sender's.
        raise BadBundle("campaign", f"{FACTS_FILE} cannot be used: {one_line(why, 200)}") from error


def last_stamp(ledger: bytes, facts: Facts) -> str:
    """When the campaign's last experiment ended; its start where there is none.

    Raises:
        BadBundle: the ledger's last line is no record.
    """
    lines = ledger.splitlines()
    if not lines:
        return facts.created_at
    try:
        stamp = json.loads(lines[-1])["finished_at"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadBundle("ledger", "its last line is not a record.") from error
    if not isinstance(stamp, str):
        raise BadBundle("ledger", "its last line has no time.")
    return stamp


def _statement(
    payload: Mapping[str, Stored], manifest: bytes, facts: Facts, *, anchor: str, finished_at: str
) -> dict[str, Any]:
    subjects = [{"name": MANIFEST, "digest": {"sha256": _sha256(manifest)}}]
    subjects += [
        {"name": name, "digest": {"sha256": payload[name].sha256}} for name in sorted(payload)
    ]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{URN}:campaign:{FORMAT}",
                "externalParameters": {
                    "tag": facts.tag,
                    "profile": facts.profile,
                    "agent": facts.agent,
                    "seed": facts.seed,
                    "noiseRuns": facts.noise_runs,
                },
                "internalParameters": {
                    "campaignSha256": anchor,
                    "hardwareClass": facts.fingerprint.class_id,
                    "kernels": facts.kernels,
                    "variant": facts.variant,
                },
                "resolvedDependencies": [
                    {"uri": f"{URN}:{name}", "digest": {"sha256": digest}}
                    for name, digest in (
                        ("image", facts.image_id.removeprefix("sha256:")),
                        ("harness", facts.harness_sha256),
                        ("data", facts.data_sha256),
                        ("seed-train-py", facts.train_sha256),
                    )
                ],
            },
            "runDetails": {
                "builder": {"id": f"{URN}:controller:{FORMAT}"},
                "metadata": {
                    "invocationId": f"{URN}:campaign:{anchor}",
                    "startedOn": facts.created_at,
                    "finishedOn": finished_at,
                },
            },
        },
    }


def _manifest(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def _read_manifest(path: Path) -> dict[str, str]:
    listed: dict[str, str] = {}
    for line in _read(path).decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if not name or name in listed:
            raise BadBundle("manifests", f"{path.name} has a line that lists no file.")
        listed[name] = digest
    return listed


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BadBundle("manifests", f"{path.name} is missing.") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
