"""One look a second at what somebody follows, whoever and however many follow it.

Owns    when the disk is looked at, and which campaigns stay open
Takes   campaigns that are asked for by name
Gives   Rooms and the Shelf, and a beat when one of them changes
Never   looks when nobody listens, and never reads in the event loop's own thread
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.dashboard.rooms import LOOK_EVERY_S, Followed, Room
from lab.dashboard.wire import Problem
from lab.show.folder import LEDGER_FILE
from lab.story.briefs import Briefs, folders_of, is_campaign
from lab.story.reading import stamp_of
from lab.story.shapes import Brief

LIST_EVERY_S = (
    2.0  # a lab of years has hundreds of campaigns, each of them a few calls of the kernel
)
MOST_ROOMS = 6  # that nobody follows and that stay open, for whoever comes back; a long campaign takes megabytes

_log = logging.getLogger(__name__)


class Shelf(Followed):
    """The list of all campaigns."""

    every_s = LIST_EVERY_S

    def __init__(self, runs: Path, rooms: Mapping[str, Room]) -> None:
        super().__init__()
        self.briefs: list[Brief] = []
        self._rooms = rooms
        self._known = Briefs(runs)
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._announced: list[Brief] | None = None

    def look(self) -> bool:
        with self._lock:
            self._look()
            before, self._announced = self._announced, self.briefs
            return before != self._announced

    def visit(self) -> None:
        """Look, unless somebody just did."""
        with self._lock:
            if self._looked_at is None or time.monotonic() - self._looked_at > LOOK_EVERY_S:
                self._look()

    def _look(self) -> None:
        self.briefs = self._known.read(self._told)
        self._looked_at = time.monotonic()

    def _told(self, folder: Path) -> Brief | None:
        """What its Room says, so that nothing that is open is read a second time."""
        room = self._rooms.get(folder.name)
        return None if room is None else room.brief()


class Watcher:
    """All that is followed, and the one task that looks."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._rooms: dict[str, Room] = {}  # the one asked for last comes last
        self._followed: set[Followed] = set()
        self._task: asyncio.Task[None] | None = None
        self.over = False  # the server ends
        self.shelf = Shelf(runs, self._rooms)

    def room(self, tag: str) -> Room:
        """The Room of a campaign.

        Raises:
            Problem: there is no campaign of that name.
        """
        # A name that is only compared to names cannot lead anywhere.
        if tag not in folders_of(self._runs) or not is_campaign(self._runs / tag):
            raise Problem(404, "there is no campaign of that name.")
        room = self._rooms.pop(tag, None) or Room(self._runs, tag)
        self._rooms[tag] = room
        idle = [name for name, each in self._rooms.items() if not each.readers and each is not room]
        for name in idle[: max(0, len(idle) - MOST_ROOMS)]:
            del self._rooms[name]
        return room

    @contextlib.contextmanager
    def following(self, followed: Followed) -> Iterator[None]:
        """While the block runs, `followed` is looked at once a second, and wakes who waits for its beat.

        A Room may have left `_rooms` since it was asked for: that a reader has it is enough.
        """
        followed.readers += 1
        self._followed.add(followed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            followed.readers -= 1
            if not followed.readers:
                self._followed.discard(followed)

    def end(self) -> None:
        """End every stream, those too that begin from now on."""
        self.over = True
        for each in list(self._followed):
            each.wake()

    async def _keep_looking(self) -> None:
        while followed := list(self._followed):
            await asyncio.sleep(LOOK_EVERY_S)
            for each in await asyncio.to_thread(_look_at, followed):
                each.wake()


def _look_at(followed: list[Followed]) -> list[Followed]:
    """Those whose turn it is, and that changed. What fails is looked at again: its readers wait for it."""
    changed = []
    for each in followed:
        if time.monotonic() >= each.due_at:
            each.due_at = time.monotonic() + each.every_s - LOOK_EVERY_S / 2
            try:
                if each.look():
                    changed.append(each)
            except Exception:  # noqa: BLE001 (whatever it is, others have readers, too)
                _log.exception("a look failed")
    return changed


def newest_tag(runs: Path) -> str | None:
    """The campaign that was written to last: what somebody who opens the page most likely wants to see."""
    written = {tag: stamp_of(runs / tag / LEDGER_FILE) for tag in folders_of(runs)}
    known = {tag: stamp[2] for tag, stamp in written.items() if stamp is not None}
    return max(known, key=lambda tag: known[tag], default=None)
