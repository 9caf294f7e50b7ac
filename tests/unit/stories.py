"""Campaign folders for tests of what is told of them: any Records as a ledger, without the wait for a disk."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab.ledger import Record
from tests.unit.nights import make_night

CAMPAIGN: dict[str, Any] = {
    "tag": "nov23",
    "profile": "cpu",
    "agent": "offline",
    "image_id": "sha256:" + "ab" * 32,
    "variant": "cpu",
    "kernels": "none",
    "harness_sha256": "1" * 64,
    "data_sha256": "2" * 64,
    "train_sha256": "3" * 64,
    "seed": 42,
    "noise_runs": 3,
    "rule": {"screen_sd": 1.6},
    "created_at": "2026-11-23T22:00:00+00:00",
    "fingerprint": {
        "class": {"cpu": "Xeon", "cores": 2.0, "memory_gib": 24},
        "class_id": "f00",
        "conditions": {"host_memory_bytes": 25_276_514_304, "virtual_machine": True},
        "missing": {"cpu_governor": "the host does not let its guests see the clock"},
    },
}


def tell(folder: Path, records: Sequence[Record], **changed: Any) -> Path:
    """A campaign's folder with these Records."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "campaign.json").write_text(json.dumps(CAMPAIGN | changed))
    (folder / "ledger.jsonl").write_bytes(
        b"".join(lines_of(dataclasses.asdict(record) for record in records))
    )
    return folder


def lines_of(fields: Iterable[dict[str, Any]]) -> list[bytes]:
    """Records' fields as lines of a ledger, chained."""
    lines, tip = [], "anchor"
    for each in fields:
        line = json.dumps(each | {"previous_sha256": tip}, sort_keys=True).encode()
        tip = hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    return lines


def many(count: int) -> list[bytes]:
    """The lines of so many experiments: one night, over and over."""
    night = [dataclasses.asdict(record) for record in make_night(200)]
    found = []
    for number in range(1, count + 1):
        offset = (number - 1) // len(night) * len(night)
        fields = copy.copy(night[(number - 1) % len(night)])
        fields["number"] = number
        if fields["original"] is not None:
            fields["original"] += offset
        if fields["commit"] is not None and fields["kind"] != "baseline":
            fields["commit"] = f"{fields['original'] or number:07x}" + "0" * 33
        found.append(fields)
    return lines_of(found)
