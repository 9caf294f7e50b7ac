"""What would name a host or a card, as salted hashes: two records of one card are known to be, a card is not.

Owns    the salt: made once for a lab, readable by its user alone
Takes   serial numbers, UUIDs, host names, paths
Gives   hashes of them
Never   lets the raw text, or the salt, into anything that is written down

An unsalted hash of a serial number hides nothing: there are few enough to try them all.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from lab.errors import LabError

SALT_FILE = "salt"
SALT_BYTES = 32
HASH_CHARS = 24


def read_salt(state: Path) -> bytes:
    """The lab's salt; made at the first call.

    Raises:
        LabError: it cannot be read or written.
    """
    path = state / SALT_FILE
    try:
        if not path.exists():
            _make(path)
        salt = path.read_bytes()
        if len(salt) != SALT_BYTES:
            raise ValueError(f"it has {len(salt)} bytes, not {SALT_BYTES}")
        path.chmod(0o600)
    except (OSError, ValueError) as error:
        raise LabError(
            f"the lab's salt cannot be read: {path}",
            why=getattr(error, "strerror", None) or str(error),
            do="delete it: a new one is made, and only the hashes of names (host, card, folder) are new with it.",
        ) from error
    return salt


def hash_private(salt: bytes, name: str, value: str) -> str:
    """A hash that means something within one lab only. Equal texts under two names have two hashes."""
    digest = hmac.new(salt, f"{name}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256)
    return digest.hexdigest()[:HASH_CHARS]


def _make(path: Path) -> None:
    """A whole salt or none. Of two labs that start together, both use the one that came first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SALT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
