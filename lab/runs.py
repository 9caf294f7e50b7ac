"""The folder of all campaigns: which there are, which is meant, and who holds one.

Owns    names, and the lock that one controller at a time has, or those who want none to begin
Takes   the runs folder
Gives   a campaign's folder
Never   reads or writes what is in it, but the lock
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from lab.errors import BadInput, CampaignBusy
from lab.facts import FACTS_FILE

LOCK_FILE = "lock"
IMPORTED_FILE = "imported.json"  # instead of campaign.json: somebody's results.tsv, only to look at
LOOK_S = 0.3


def is_running(folder: Path) -> bool:
    """Whether a controller holds this campaign now.

    Raises:
        OSError: the lock cannot be read.
    """
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            # Shared: two who look at the same moment must not take each other for a controller.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def new_tag(runs: Path, today: datetime) -> str:
    """A tag that is not taken: nov23, nov23-2, ..."""
    stem = today.strftime("%b%d").lower()
    tag, count = stem, 1
    while (runs / tag).exists():
        count += 1
        tag = f"{stem}-{count}"
    return tag


def find_campaign(runs: Path, tag: str | None) -> Path:
    """The folder of a campaign: the one named, else the one that was written to last.

    Raises:
        BadInput: there is none, or what is named was imported.
    """
    if tag is not None and (runs / tag / IMPORTED_FILE).exists():
        raise BadInput(
            f"{tag} was imported: there are its results, and no campaign.",
            why="a results.tsv has no code, no seeds and no noise to go on from.",
            do=f"look at it with `lab show --tag {tag}`, or name a campaign of this lab.",
        )
    return _find(runs, tag, (FACTS_FILE,))


def find_to_look(runs: Path, tag: str | None) -> Path:
    """The folder of a campaign or of what was imported: the one named, else the latest campaign.

    Raises:
        BadInput: there is none.
    """
    kinds = (FACTS_FILE, IMPORTED_FILE)
    own = tag is None and any(runs.glob(f"*/{FACTS_FILE}"))
    return _find(runs, tag, kinds[:1] if own else kinds)


def _find(runs: Path, tag: str | None, kinds: tuple[str, ...]) -> Path:
    if tag is not None and any((runs / tag / kind).exists() for kind in kinds):
        return runs / tag
    found = sorted(
        (path.parent for kind in kinds for path in runs.glob(f"*/{kind}")),
        key=_written_at,
    )
    if tag is None and found:
        return found[-1]
    names = ", ".join(folder.name for folder in found) or "none yet"
    raise BadInput(
        f"there is no campaign {tag}." if tag else "there is no campaign yet.",
        why=f"campaigns in {runs}: {names}.",
        do="name one of them with TAG=, or start one with `make overnight`.",
    )


def _written_at(folder: Path) -> float:
    """When anything in a campaign was last written; what a night takes away meanwhile counts for nothing."""
    latest = 0.0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            latest = max(latest, path.stat().st_mtime)
    return latest


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the campaign as its controller. The kernel lets go when the process ends, however it ends."""
    with _holding(folder, fcntl.LOCK_EX) as lock:
        os.utime(lock.fileno())  # since when; see `held_since`
        yield


@contextlib.contextmanager
def kept_still(folder: Path) -> Iterator[None]:
    """Hold the campaign so that no controller begins; several may, and nobody takes them for one."""
    with _holding(folder, fcntl.LOCK_SH):
        yield


def held_since(folder: Path) -> float:
    """When a controller last took this campaign, in seconds since the epoch.

    Raises:
        OSError: none ever did.
    """
    return (folder / LOCK_FILE).stat().st_mtime


@contextlib.contextmanager
def _holding(folder: Path, how: int) -> Iterator[BinaryIO]:
    with (folder / LOCK_FILE).open("ab") as lock:
        try:
            _lock(lock, how)
        except BlockingIOError as error:
            raise CampaignBusy(
                f"another controller is working on the campaign {folder.name}, or it is being bundled.",
                why=f"somebody holds {folder / LOCK_FILE}.",
                do="wait for it, stop it, or choose another TAG; nothing was changed.",
            ) from error
        yield lock


def _lock(lock: BinaryIO, how: int) -> None:
    """Take the lock; somebody who only looks (`is_running`) has it for microseconds, and is waited for."""
    deadline = time.monotonic() + LOOK_S
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
