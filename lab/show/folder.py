"""A campaign's folder as it is read for people: without the lock, repair or checks.

Owns    what of it may be believed without opening it
Takes   the folder, which a night may be writing
Gives   its facts and Records
Never   writes, so that looking at a night that runs can never disturb it
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.errors import CampaignError
from lab.facts import SCHEMA
from lab.ledger import REPLAY, Record
from lab.show.words import one_line
from lab.verdict import Noise

CAMPAIGN_FILE = "campaign.json"
LEDGER_FILE = "ledger.jsonl"
MOST_CORES = 10**6
_RECORD = TypeAdapter(Record)
_NOISE = TypeAdapter(Noise)


def read_campaign(folder: Path) -> dict[str, Any]:
    """campaign.json as it stands.

    Raises:
        CampaignError: there is none, or it is not a JSON object.
    """
    try:
        campaign = json.loads((folder / CAMPAIGN_FILE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CampaignError(
            f"there is no campaign in {folder}.",
            why=f"{CAMPAIGN_FILE} cannot be read: {error}",
            do="look for its name in the runs folder; `make overnight TAG=...` starts a new one.",
        ) from error
    if not isinstance(campaign, dict):
        raise CampaignError(
            f"{folder / CAMPAIGN_FILE} is not a campaign.",
            why="it holds something other than a JSON object.",
            do="restore the file from a copy; nothing was written.",
        )
    return campaign


def read_records(folder: Path) -> list[Record]:
    """The Records of a ledger that may be growing; a last line without a line break is no line yet.

    Reads only. The chain is not checked; opening the ledger does that.

    Raises:
        CampaignError: a whole line is not a Record.
    """
    path = folder / LEDGER_FILE
    content = path.read_bytes() if path.exists() else b""
    records = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        records.append(record_of(line, path, number))
    return records


def record_of(line: bytes, path: Path, number: int) -> Record:
    """The Record in line `number` of the ledger at `path`; who checks the chain is `Ledger.open`.

    Raises:
        CampaignError: it is not a Record.
    """
    try:
        return _RECORD.validate_json(line)
    except ValidationError as error:
        raise CampaignError(
            f"the ledger {path} was altered.",
            why=f"line {number} is not a record.",
            do="restore the file from a copy, or start a new TAG; nothing was written.",
        ) from error


def told_version(error: CampaignError, folder: Path, campaign: dict[str, Any]) -> CampaignError:
    """What to say of records that do not parse: those of another version nobody altered."""
    schema = campaign.get("schema")
    if schema in (None, SCHEMA):
        return error
    older = isinstance(schema, int) and schema < SCHEMA
    return CampaignError(
        f"the campaign in {folder} was written by {'an older' if older else 'another'} version of the lab.",
        why=f"its facts have schema {one_line(str(schema), 20)}, this version reads {SCHEMA}.",
        do="look at it with the version that wrote it; nothing was changed.",
    )


def prior_of(campaign: dict[str, Any]) -> Noise | None:
    """What `lab noise` knew when the campaign began; None when it had never run."""
    prior = campaign.get("prior_noise")
    try:
        return None if prior is None else _NOISE.validate_python(prior)
    except ValidationError:
        return None


def is_replay(campaign: dict[str, Any]) -> bool:
    """Whether a campaign runs another lab's claim, and no ideas of its own."""
    return campaign.get("agent") == REPLAY


def hardware_of(campaign: dict[str, Any]) -> str:
    """What the campaign runs on, in a few words of its fingerprint; empty when it does not say."""
    fingerprint = campaign.get("fingerprint")
    traits = fingerprint.get("class") if isinstance(fingerprint, dict) else None
    if not isinstance(traits, dict):
        return ""
    for wanted in ("gpu", "cpu"):  # a GPU is what matters where there is one
        for name, value in sorted(traits.items()):
            if wanted in name and isinstance(value, str) and value.strip():
                cores = _cores_in_words(traits.get("cores")) if wanted == "cpu" else ""
                cut = traits.get("mig_slice") if wanted == "gpu" else None
                return (
                    one_line(value, 48) + cores + (f", MIG {one_line(str(cut), 16)}" if cut else "")
                )
    return one_line(str(fingerprint.get("class_id") or ""), 24) if fingerprint else ""


def _cores_in_words(cores: object) -> str:
    """Empty for what is no number of cores: a stranger's campaign.json may say anything."""
    if isinstance(cores, bool) or not isinstance(cores, int | float):
        return ""
    if not 0 < cores < MOST_CORES:
        return ""
    return f", {cores:g} core{'s' * (cores != 1)}"
