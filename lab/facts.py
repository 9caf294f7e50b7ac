"""What every score of a campaign was measured with: written once, compared at every resume, never changed.

Owns    campaign.json, and which differences forbid to go on
Takes   this host's image, data, rule and hardware
Gives   Facts
Never   mixes scores that do not compare
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.errors import CampaignError
from lab.fingerprint import Fingerprint, describe_differences
from lab.verdict import Noise, Rule

FACTS_FILE = "campaign.json"
SCHEMA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every score of a campaign was measured with. The ledger's chain begins at its sha256."""

    schema: int
    tag: str
    created_at: str  # UTC, ISO 8601
    profile: str
    agent: str
    seed: int
    noise_runs: int
    rule: Rule
    prior_noise: Noise | None  # measured on this host by `lab noise`; None when it never was
    image_id: str
    variant: str
    kernels: str
    harness_sha256: str
    data_sha256: str  # of the data's manifest
    train_sha256: str  # of the seed train.py
    fingerprint: Fingerprint


_FACTS = TypeAdapter(Facts)


def compare(stored: Facts, now: Facts) -> None:
    """Refuse to mix scores that do not compare."""
    differences = [
        f"{name} was {old}, now {new}"
        for name, old, new in (
            ("profile", stored.profile, now.profile),
            ("image", stored.image_id[:19], now.image_id[:19]),
            ("harness", stored.harness_sha256[:12], now.harness_sha256[:12]),
            ("data", stored.data_sha256[:12], now.data_sha256[:12]),
        )
        if old != new
    ]
    if (
        not differences
    ):  # else the hardware's class, which names profile and image too, says them again
        differences = describe_differences(
            stored.fingerprint.comparable, now.fingerprint.comparable
        )
    if differences:
        raise CampaignError(
            f"the campaign {stored.tag} cannot be resumed here.",
            why="its scores would not compare: " + "; ".join(differences) + ".",
            do="start a new TAG, or restore what changed; nothing was written.",
        )


def read_facts(path: Path, content: bytes) -> Facts:
    try:
        fields = json.loads(content)
        if fields["schema"] != SCHEMA:
            raise CampaignError(
                f"the campaign in {path.parent} was made by another version of the lab.",
                why=f"its facts have schema {fields['schema']}, this version writes {SCHEMA}.",
                do="go on with the version that made it, or start a new TAG; nothing was written.",
            )
        fields["fingerprint"]["comparable"] = fields["fingerprint"].pop("class")
        return _FACTS.validate_python(fields)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise CampaignError(
            f"{path} was altered.",
            why=str(error).splitlines()[0],
            do="restore the file from a copy, or start a new TAG; nothing was written.",
        ) from error


def to_json(facts: Facts) -> dict[str, Any]:
    """The fields of campaign.json."""
    fields = dataclasses.asdict(facts)
    fields["fingerprint"]["class"] = fields["fingerprint"].pop("comparable")
    return fields
