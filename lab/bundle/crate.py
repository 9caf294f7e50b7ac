"""RO-Crate metadata: what the files are, and which run made them.

Owns    data/ro-crate-metadata.json: RO-Crate 1.1 with the Process Run Crate profile, one CreateAction an experiment
Takes   the campaign's facts, its records, the names and sizes of the payload
Gives   the file's bytes, the same for the same campaign
Never   says what is not in the records
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.bundle.layout import CRATE, GIT_BUNDLE
from lab.facts import Facts
from lab.ledger import Record
from lab.outcome import Status

PROCESS_RUN = "https://w3id.org/ro/wfrun/process/0.5"

_WHAT = {
    "campaign.json": "What every score was measured with: image, harness, data, settings, hardware",
    "ledger.jsonl": "Every experiment in order, each line with the sha256 of the one before",
    "results.tsv": "The experiments as a table, derived from the ledger",
    "results.parquet": "Every field of every experiment, derived from the ledger",
    "progress.png": "Every experiment as a point, the running best as a line",
    "program.md": "The research brief that the campaign began with",
    GIT_BUNDLE: "Every candidate as a commit, kept or not; git clone reads it",
}
_FORMATS = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "log": "text/plain",
    "md": "text/markdown",
    "parquet": "application/vnd.apache.parquet",
    "png": "image/png",
    "py": "text/x-python",
    "tsv": "text/tab-separated-values",
}

Entity = dict[str, Any]


def describe(
    facts: Facts, records: Sequence[Record], sizes: Mapping[str, int], *, finished_at: str
) -> bytes:
    """The metadata of a payload; `sizes` is by name below data/, this file not among them."""
    image = f"urn:nightlab:image:{facts.image_id}"
    files = [_file(name, sizes[name]) for name in sorted(sizes)]
    actions, others = [], dict[str, Entity]()
    for record in records:
        action, needed = _action(record, image, sizes)
        actions.append(action)
        others |= {entity["@id"]: entity for entity in needed}
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Nightlab campaign {facts.tag}",
        "description": (
            f"{len(records)} experiments of autonomous research on a small language model, "
            f"profile {facts.profile}, hardware class {facts.fingerprint.class_id}."
        ),
        "datePublished": finished_at,
        "license": {"@id": "#licence"},
        "conformsTo": {"@id": PROCESS_RUN},
        "hasPart": [{"@id": entity["@id"]} for entity in files],
        "mentions": [{"@id": entity["@id"]} for entity in actions],
    }
    graph: list[Entity] = [
        _descriptor(),
        root,
        *_context(facts, image),
        *files,
        *actions,
        *(others[name] for name in sorted(others)),
    ]
    crate = {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [_tidy(one) for one in graph],
    }
    return json.dumps(crate, indent=1, sort_keys=True).encode() + b"\n"


def _descriptor() -> Entity:
    return {
        "@id": CRATE,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }


def _context(facts: Facts, image: str) -> list[Entity]:
    return [
        {
            "@id": "#licence",
            "@type": "CreativeWork",
            "name": "No licence is stated",
            "description": "Ask whoever sent this bundle what you may do with it.",
        },
        {
            "@id": PROCESS_RUN,
            "@type": "CreativeWork",
            "name": "Process Run Crate",
            "version": "0.5",
        },
        {
            "@id": image,
            "@type": "SoftwareApplication",
            "name": f"The frozen image ({facts.variant}) that trained and judged every experiment",
            "softwareVersion": facts.image_id,
            "description": f"harness {facts.harness_sha256}, data {facts.data_sha256}",
        },
    ]


def _file(name: str, size: int) -> Entity:
    short = name.rpartition("/")[2]
    return {
        "@id": name,
        "@type": "File",
        "name": _WHAT.get(name, short),
        "contentSize": str(size),
        "encodingFormat": _FORMATS.get(short.rpartition(".")[2], "application/octet-stream"),
    }


def _action(record: Record, image: str, sizes: Mapping[str, int]) -> tuple[Entity, list[Entity]]:
    """What one experiment was, and the entities that only it names."""
    here = f"#experiment-{record.number:04d}"
    place = f"experiments/{record.number:04d}/"
    agent = {
        "@id": f"urn:nightlab:agent:{_plain(record.agent)}",
        "@type": "Person" if record.agent == "human" else "SoftwareApplication",
        "name": record.agent,
    }
    needed: list[Entity] = [agent]
    measured = record.trial.status is Status.MEASURED
    action: Entity = {
        "@id": here,
        "@type": "CreateAction",
        "name": f"Experiment {record.number}: {record.title}",
        "description": record.verdict.sentence or record.hypothesis or record.kind,
        "startTime": record.started_at,
        "endTime": record.finished_at,
        "agent": {"@id": agent["@id"]},
        "instrument": {"@id": image},
        "result": [{"@id": name} for name in sorted(sizes) if name.startswith(place)],
        "actionStatus": "http://schema.org/"
        + ("CompletedActionStatus" if measured else "FailedActionStatus"),
    }
    if not measured:
        action["error"] = record.trial.reason or record.trial.status.value
    if record.commit is not None:
        code = {
            "@id": f"urn:nightlab:commit:{record.commit}",
            "@type": "CreativeWork",
            "name": f"train.py of commit {record.commit}",
            "isPartOf": {"@id": GIT_BUNDLE},
        }
        needed.append(code)
        action["object"] = [{"@id": code["@id"]}]
    if record.trial.val_bpb is not None:
        score = {
            "@id": f"{here}-val_bpb",
            "@type": "PropertyValue",
            "name": "val_bpb",
            "value": record.trial.val_bpb,
            "unitText": "bits per UTF-8 byte",
        }
        needed.append(score)
        action["result"].append({"@id": score["@id"]})
    return action, needed


def _tidy(entity: Entity) -> Entity:
    """A list of one as that one, and no empty list, as RO-Crate 1.1 would have it."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in entity.items()
        if value != []
    }


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
