"""A bundle that passed level 0, as a folder.

Owns    the scratch folder, and the order of the checks of level 0
Takes   a stranger's file
Gives   its payload, as plain files, for as long as the block lasts
Never   writes anything but plain files with names of the layout, and those in the scratch folder alone
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.bundle.archive import check_seal, read_members
from lab.bundle.checks import Check
from lab.bundle.layout import PAYLOAD, Limits, top_of
from lab.bundle.sealed import Stored, check_bag, facts_of, last_stamp
from lab.bundle.signature import check_signature
from lab.campaign import LEDGER_FILE
from lab.errors import BadBundle, BadInput, BundleError

LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A bundle in a scratch folder that is removed when its block ends."""

    payload: Path  # the bag's data/ folder
    checks: tuple[Check, ...]  # of level 0, all passed or not possible


@contextlib.contextmanager
def opened(
    file: Path, *, signers: Path | None = None, limits: Limits = LIMITS
) -> Iterator[Unpacked]:
    """Check a bundle at level 0 and unpack it.

    Raises:
        BadInput: there is no such file.
        BadBundle: it is refused; nothing of it is left.
        BadSigner: `signers` are named, and none of them signed it.
        BundleError: there is no room to unpack it.
    """
    if not file.is_file():
        raise BadInput(f"there is no bundle {file}.", do="name a .tar.zst that `lab bundle` wrote.")
    with tempfile.TemporaryDirectory(prefix="nightlab-bundle-") as scratch:
        bag = Path(scratch) / "bag"
        bag.mkdir()
        try:
            top, stored, checks = _unpack(file, bag, limits)
        except OSError as error:
            raise BundleError(
                "the bundle could not be unpacked.",
                why=error.strerror or str(error),
                do="free some disk (TMPDIR names another one); nothing of it was kept.",
            ) from error
        payload = bag / PAYLOAD
        facts, anchor = facts_of(payload)
        if top != top_of(facts.tag):
            raise BadBundle("names", "its folder is not named after its campaign.")
        ledger = payload / LEDGER_FILE
        if not ledger.exists():
            raise BadBundle("manifests", f"{LEDGER_FILE} is missing.")
        stamp = last_stamp(ledger.read_bytes(), facts)
        checks += check_bag(bag, stored, facts=facts, anchor=anchor, finished_at=stamp)
        checks.append(check_signature(bag, signers))
        yield Unpacked(payload=payload, checks=tuple(checks))


def _unpack(file: Path, bag: Path, limits: Limits) -> tuple[str, dict[str, Stored], list[Check]]:
    """Write every member below `bag`, hashed on its way."""
    top, stored = "", dict[str, Stored]()
    with file.open("rb") as opened_file:
        end = check_seal(opened_file)
        sealed = Check(
            level=0, name="seal", passed=True, words=f"all {end} bytes are as they were sealed"
        )
        free = shutil.disk_usage(bag).free
        room = dataclasses.replace(limits, total_bytes=min(limits.total_bytes, free))
        for here, member, content in read_members(opened_file, end, room):
            top = here
            place = bag / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            # The folder is ours and new, so nothing can stand there: O_EXCL follows no link and replaces nothing.
            written = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(written, "wb") as output:
                for chunk in content:
                    output.write(chunk)
                    digest.update(chunk)
            stored[member.name] = Stored(sha256=digest.hexdigest(), size=member.size)
    words = f"{len(stored)} plain files, no link, no device, no name that leads elsewhere"
    return top, stored, [sealed, Check(level=0, name="archive", passed=True, words=words)]
