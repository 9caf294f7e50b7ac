"""A fingerprint: everything about the hardware under a score, in three groups, and what differs between two.

Owns    the class: which readings it has, and its id
Takes   a Subject: what to look at, and what was found once at the set-up
Gives   a Fingerprint, in milliseconds, so that each experiment has one before and one after it
Never   starts a container, or lets anything out that names a host or a card
"""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path

from lab.fingerprint.board import Board, read_board
from lab.fingerprint.machine import read_host, read_processor
from lab.fingerprint.private import hash_private
from lab.fingerprint.readings import Facts, Readings, Value

UNITS = {"_w": "W", "_mhz": "MHz", "_gib": "GiB", "_bits": "bits", "_bytes": "bytes"}
WORDS = {
    "gpu": "GPU",
    "cpu": "processor",
    "isa": "instruction set",
    "cores": "number of cores",
    "ecc": "ECC",
    "mig": "MIG",
    "mig_slice": "MIG slice",
    "sm_count": "number of multiprocessors",
    "pci_device": "PCI device",
    "pci_subsystem": "PCI subsystem",
    "gpu_memory_gib": "GPU memory",
    "memory_gib": "memory",
    "memory_bus_bits": "memory bus",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a fingerprint is taken of."""

    profile: str
    image_id: str
    kernels: str  # the attention kernels that the image holds
    gpu_uuid: str | None  # None: the CPU computes
    cpus: float | None  # what a container gets; None is every core
    salt: bytes = field(repr=False)
    checkout: Path
    software: Facts = field(
        default_factory=dict
    )  # engine, toolkit, torch: read once, at the set-up
    software_missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The hardware and software under a score."""

    class_id: str  # of `comparable`; two scores compare only when it is the same
    comparable: Facts
    conditions: Facts
    private: dict[str, str]  # salted hashes: equal within one lab where the thing is the same
    missing: dict[str, str]  # why a reading is None, by its name


def take_fingerprint(subject: Subject) -> Fingerprint:
    """Look at the hardware once."""
    comparable: Facts = {
        "profile": subject.profile,
        "image": subject.image_id,
        "attention_kernels": subject.kernels,
    }
    conditions: Facts = dict(subject.software)
    missing = dict(subject.software_missing)
    names = Readings()
    names.take("hostname", socket.gethostname)
    names.take("checkout", lambda: str(subject.checkout))
    host = read_host()
    board = read_board(subject.gpu_uuid) if subject.gpu_uuid is not None else Board()
    hardware = board.comparable if subject.gpu_uuid is not None else read_processor(subject.cpus)
    if hardware.facts.get("sm_count", 0) is None and conditions.get("torch_sm_count") is not None:
        hardware.take("sm_count", lambda: conditions["torch_sm_count"])
    comparable |= hardware.facts
    conditions |= host.facts | board.conditions.facts
    for readings in (host, names, hardware, board.conditions, board.private):
        missing |= readings.missing
    return Fingerprint(
        class_id=class_id_of(comparable),
        comparable=comparable,
        conditions=conditions,
        private={
            name: hash_private(subject.salt, name, str(value))
            for name, value in (names.facts | board.private.facts).items()
            if value is not None
        },
        missing=missing,
    )


def class_id_of(comparable: Facts) -> str:
    """The id of a class: equal for equal facts, on every host."""
    return hashlib.sha256(json.dumps(comparable, sort_keys=True).encode()).hexdigest()[:16]


def describe_differences(before: Facts, now: Facts) -> list[str]:
    """What differs, in words. A reading that is missing on one side says nothing and differs from nothing."""
    return [
        f"{WORDS.get(name, _words(name))} was {_say(name, before[name])}, now {_say(name, now[name])}"
        for name in sorted(before.keys() & now.keys())
        if before[name] is not None and now[name] is not None and before[name] != now[name]
    ]


def _words(name: str) -> str:
    for ending in UNITS:
        name = name.removesuffix(ending)
    return name.replace("_", " ")


def _say(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    number = f"{value:g}" if isinstance(value, float) else str(value)
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
    return f"{number} {unit}".strip()
