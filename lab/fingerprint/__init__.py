"""On what a score was measured, and who computes on it.

    readings    one reading after the other; what cannot be taken is None, with its reason
    cards       which NVIDIA GPUs there are, and who computes on one: the only door to NVML, with telemetry
    board       what one GPU is, and how it is set
    machine     the processor, the kernel and the memory, asked through /proc and /sys
    toolkit     the NVIDIA container toolkit, and its versions with known escapes
    inside      what torch says that it computes on, asked once in a container
    private     salted hashes of what would name a host or a card
    taking      all of it together: a Fingerprint, and in words what differs between two

Owns    which facts make two scores comparable
Takes   the host
Gives   a Fingerprint: a class, whose id stands in every record; conditions, which are shown; hashes
Never   stops a night: a reading that cannot be taken is None, and says why
"""

from lab.fingerprint.cards import Gpu, GpuProcess, held, list_gpus, watching
from lab.fingerprint.inside import read_inside
from lab.fingerprint.private import read_salt
from lab.fingerprint.readings import Facts, Readings, Unreadable
from lab.fingerprint.taking import (
    Fingerprint,
    Subject,
    describe_differences,
    take_fingerprint,
)
from lab.fingerprint.toolkit import known_escapes, toolkit_programs, toolkit_version

__all__ = [
    "Facts",
    "Fingerprint",
    "Gpu",
    "GpuProcess",
    "Readings",
    "Subject",
    "Unreadable",
    "describe_differences",
    "held",
    "known_escapes",
    "list_gpus",
    "read_inside",
    "read_salt",
    "take_fingerprint",
    "toolkit_programs",
    "toolkit_version",
    "watching",
]
