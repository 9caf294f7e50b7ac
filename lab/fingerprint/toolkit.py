"""The NVIDIA container toolkit, which hands a GPU to a container as root of the host, and what is known against it.

    CVE-2024-0132    until 1.16.1: a file exchanged while it is mounted opens the host's file system
    CVE-2025-23359   until 1.17.3: the repair of that one could be walked around
    CVE-2025-23266   until 1.17.7: a variable of the image chose what a hook loads, as root ("NVIDIAScape")

Owns    which versions have public escapes
Takes   the toolkit's own programs
Gives   its version, and the escapes that it has
Never   says that a version is safe: the list is as old as this file
"""

from __future__ import annotations

import re
import shutil

from lab.fingerprint.readings import Unreadable
from lab.host import Run, run_quietly

PROGRAMS = ("nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook")

# The first version without it, and its name.
ESCAPES = (
    ((1, 16, 2), "CVE-2024-0132"),
    ((1, 17, 4), "CVE-2025-23359"),
    ((1, 17, 8), "CVE-2025-23266"),
)
_VERSION = re.compile(r"\bversion:?\s+v?(\d+\.\d+\.\d+(?:[-~+.\w]*)?)", re.IGNORECASE)


def toolkit_programs() -> list[str]:
    """The programs of the toolkit that are installed here; none where it is not."""
    return [path for path in map(shutil.which, PROGRAMS) if path]


def toolkit_version(run: Run = run_quietly) -> str:
    """The version of the toolkit that is installed here.

    Raises:
        Unreadable: none is, or none of its programs says.
    """
    found = toolkit_programs()
    if not found:
        raise Unreadable("it is not installed")
    for path in found:
        done = run([path, "--version"])
        if done.returncode == 0 and (match := _VERSION.search(done.stdout)):
            return match[1]
    raise Unreadable("its programs do not say their version")


def known_escapes(version: str) -> tuple[str, ...]:
    """The public escapes from a container that this version has. A release candidate has those of its release."""
    number = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if number is None:
        return ()
    here = tuple(int(part) for part in number.groups())
    return tuple(name for repaired, name in ESCAPES if here < repaired)
