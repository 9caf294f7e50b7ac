"""Where a campaign ran and of what, and how a reader can check it.

Owns    which facts a person is told, in what words; the commands
Takes   campaign.json as it stands, the ledger's tip
Gives   Facts and Commands; a fact that is not there is left out
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lab.fingerprint.taking import UNITS, WORDS
from lab.ledger import Record
from lab.settings import TAG_PATTERN
from lab.show.results import GIB
from lab.show.words import one_line
from lab.story.shapes import Command, Fact
from lab.trial import Conditions

LONGEST = 200
LARGE_BYTES = 2**30


def facts_of(
    campaign: Mapping[str, Any], records: int, *, tip_sha256: str | None
) -> tuple[Fact, ...]:
    """Image, harness, data, rule and ledger."""
    told = [
        ("Image", campaign.get("image_id")),
        ("Variant", _joined(campaign.get("variant"), campaign.get("kernels"), "kernels")),
        ("Harness", _digest(campaign.get("harness_sha256"))),
        ("Data", _digest(campaign.get("data_sha256"))),
        ("Seed train.py", _digest(campaign.get("train_sha256"))),
        ("Seed of every random choice", campaign.get("seed")),
        ("Baseline runs", campaign.get("noise_runs")),
        ("Noise known before", _prior(campaign.get("prior_noise"))),
        ("Rule", _rule(campaign.get("rule"))),
        ("Ledger", f"{records} records, the last line has {_digest(tip_sha256)}")
        if tip_sha256
        else ("Ledger", None),
    ]
    return tuple(_facts(told))


def facts_of_imported(file: str, sha256: str, imported_at: str) -> tuple[Fact, ...]:
    """Where a table came from."""
    return tuple(_facts([("File", file), ("Table", _digest(sha256)), ("Imported", imported_at)]))


def class_of(campaign: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What must be equal for scores to compare."""
    fingerprint = _dict(campaign.get("fingerprint"))
    told = [reading(name, value) for name, value in sorted(_dict(fingerprint.get("class")).items())]
    return (*_facts([("Class", fingerprint.get("class_id"))]), *told)


def conditions_of(campaign: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What may differ between two runs of one class, as it was at the start."""
    conditions = _dict(_dict(campaign.get("fingerprint")).get("conditions"))
    return tuple(
        reading(name, value) for name, value in sorted(conditions.items()) if value is not None
    )


def missing_of(campaign: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Which readings could not be taken, and why."""
    missing = _dict(_dict(campaign.get("fingerprint")).get("missing"))
    return tuple(_facts([(name_of_reading(name), why) for name, why in sorted(missing.items())]))


def changed_conditions(conditions: Conditions | None) -> tuple[Fact, ...]:
    """What was another one after a run than before it."""
    if conditions is None:
        return ()
    both = conditions.before.keys() & conditions.after.keys()
    return tuple(
        Fact(name=before.name, value=f"{before.value} before, {after.value} after")
        for name in sorted(both)
        if conditions.before[name] is not None and conditions.after[name] is not None
        for before in [reading(name, conditions.before[name])]
        for after in [reading(name, conditions.after[name])]
        if before.value != after.value
    )


def reading(name: str, value: object) -> Fact:
    """A reading of a fingerprint in words: `Host memory`, `23.5 GiB`."""
    if value is None:
        words = "unknown"
    elif isinstance(value, bool):
        words = "yes" if value else "no"
    elif isinstance(value, int | float):
        unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
        if unit == "bytes" and abs(value) >= LARGE_BYTES:
            value, unit = round(value / GIB, 1), "GiB"
        words = f"{value:g} {unit}".strip()
    else:
        words = one_line(str(value), LONGEST)
    return Fact(name=name_of_reading(name), value=words)


def name_of_reading(name: str) -> str:
    bare = name
    for ending in (*UNITS, "_j", "_s"):
        bare = bare.removesuffix(ending)
    words = one_line(WORDS.get(name, bare.replace("_", " ")), 60)
    return words[:1].upper() + words[1:]


def commands_of(tag: str, *, replay: bool = False) -> tuple[Command, ...]:
    """What a reader types, in a checkout of the lab; none for a name that no command would take.

    A replay has no best of its own, whose weights could be scored or whose gain could be replayed.
    """
    if not TAG_PATTERN.fullmatch(tag):
        return ()
    name, file = shlex.quote(tag), shlex.quote(f"nightlab-{tag}.tar.zst")
    weights = "" if replay else " WEIGHTS=1"
    told = [
        ("put it into one file that anybody can check", f"make bundle TAG={name}{weights}"),
        ("check that file, without a GPU", f"make verify BUNDLE={file}"),
    ]
    if not replay:
        told += [
            ("check it and score its weights here", f"make verify BUNDLE={file} RESCORE=1"),
            ("run its best and its baseline here", f"make replay BUNDLE={file}"),
            ("go on with it on the host that has it", f"make overnight TAG={name}"),
        ]
    return tuple(Command(what=what, command=command) for what, command in told)


def notes_of(record: Record) -> tuple[Fact, ...]:
    """The agent's own notes."""
    return tuple(_facts(sorted(record.facts.items()), longest=2_000))


def _facts(told: list[tuple[str, Any]], *, longest: int = LONGEST) -> Iterator[Fact]:
    for name, value in told:
        if value is not None and value != "":
            yield Fact(name=one_line(name, 60), value=one_line(str(value), longest))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _digest(value: object) -> str | None:
    return f"sha256:{value}" if value else None


def _joined(variant: object, kernels: object, what: str) -> str | None:
    return f"{variant}, {what} {kernels}" if variant and kernels else None


def _prior(prior: object) -> str | None:
    noise = _dict(prior)
    sd_bpb, df = noise.get("sd_bpb"), noise.get("df")
    if not isinstance(sd_bpb, int | float):
        return None
    return f"sd {sd_bpb:.4g} bits per byte, {df} degrees of freedom"


def _rule(rule: object) -> str | None:
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in sorted(_dict(rule).items())
    )
