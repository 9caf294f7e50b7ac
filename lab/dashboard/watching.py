"""One look a second at what somebody follows, whoever and however many follow it.

Owns    open Tales, and when the disk is looked at
Takes   campaigns that are asked for by name
Gives   Rooms: what a campaign shows now, and a beat when that changes
Never   looks when nobody listens, and never reads in the event loop's own thread
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lab.dashboard.wire import Problem, as_json, head_of, in_words
from lab.errors import BadInput, LabError
from lab.facts import FACTS_FILE
from lab.runs import IMPORTED_FILE
from lab.show.results import LEDGER_FILE
from lab.story.now import read_now
from lab.story.reading import Stamp, Tale, is_campaign, list_briefs, stamp_of
from lab.story.shapes import Brief, Now, Story

LOOK_EVERY_S = 1.0
LIST_EVERY_S = (
    2.0  # a lab of years has hundreds of campaigns, each of them a few calls of the kernel
)
MARKS = (FACTS_FILE, IMPORTED_FILE)  # what makes a folder a campaign
MOST_MADE = 8  # JSON texts of one version: readers who came at other times want other rows
MOST_ROOMS = 6  # that nobody follows and that stay open, for whoever comes back; a long campaign takes megabytes


class Followed:
    """Something that changes, and those who wait for it. Everything but `look` belongs to the event loop."""

    every_s = LOOK_EVERY_S

    def __init__(self) -> None:
        self.due_at = 0.0  # when to look again; monotonic
        self.readers = 0
        self.over = False  # no beat will come
        self.beat = asyncio.Event()  # set when something changed, and replaced by the next

    def look(self) -> bool:
        """Read what there is to read; whether anything changed. Called in a thread."""
        raise NotImplementedError

    def wake(self) -> None:
        """Tell all who wait."""
        before, self.beat = self.beat, asyncio.Event()
        before.set()


class Room(Followed):
    """One campaign: an open Tale, and its JSON as it was made last. Any thread may ask."""

    def __init__(self, runs: Path, tag: str) -> None:
        super().__init__()
        self.folder = runs / tag
        self.lock = threading.Lock()  # whoever has it may use the Tale
        self.tale: Tale | None = None
        self._looked_at = 0.0
        self._stamp: tuple[Stamp, ...] = ()  # of what could not be read
        self._story: Story | None = None
        self._made: dict[object, bytes] = {}  # JSON of this version
        self.version = 0  # grows when the Story changed
        self.edition = 0  # grows when the campaign is another than it was: its rows start anew
        self.problem: str | None = None
        self.now: Now | None = None
        self._name = secrets.token_hex(
            4
        )  # another server, or another Room, has seen other versions

    @property
    def state(self) -> str:
        """Equal for equal Stories: who has this one need not be told it again."""
        return f"{self._name}-{self.edition}-{self.version}"

    def look(self) -> bool:
        with self.lock:
            before = (self.version, self.now, self.problem)
            self._look()
            return before != (self.version, self.now, self.problem)

    def visit(self) -> None:
        """Look, unless somebody just did.

        Raises:
            Problem: the campaign cannot be read.
        """
        with self.lock:
            self._told_lately()

    def story_json(self) -> bytes:
        """The whole Story.

        Raises:
            Problem: the campaign cannot be read.
        """
        with self.lock:
            story = self._told_lately()
            return self._json(
                "story", lambda: b'%s,"state":%s}' % (as_json(story)[:-1], as_json(self.state))
            )

    def news_json(self, first: int) -> tuple[int, bytes]:
        """How many rows there are, and the Story with those from `first` on; with all when there are fewer.

        Raises:
            Problem: the campaign cannot be read.
        """
        with self.lock:
            story = self._told()
            count = len(story.rows)
            first = first if first <= count else 0

            def make() -> bytes:
                head = self._json("head", lambda: head_of(story))
                return b'%s,"new_rows":%s,"first":%d,"state":%s}' % (
                    head[:-1],
                    as_json(story.rows[first:]),
                    first,
                    as_json(self.state),
                )

            return count, self._json(first, make)

    def detail_json(self, number: int) -> bytes:
        """The Detail of an experiment.

        Raises:
            Problem: there is none of that number, or the campaign cannot be read.
        """
        with self.lock:
            self._told_lately()
            assert self.tale is not None
            try:
                return as_json(self.tale.detail(number))
            except BadInput as error:
                raise Problem(404, in_words(error, self.folder.parent)) from error
            except (LabError, OSError) as error:
                raise Problem(409, in_words(error, self.folder.parent)) from error

    def opened(self) -> Tale | None:
        """Its Tale, read now if it never was; None when it cannot be read. For whoever has the lock."""
        if self.tale is None and self.problem is None:
            self._look()
        return self.tale

    def _told_lately(self) -> Story:
        """The Story, at most a second old."""
        if self._story is None or time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._look()
        return self._told()

    def _told(self) -> Story:
        if self._story is None:
            raise Problem(409, self.problem or "the campaign cannot be read.")
        return self._story

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        if self.problem is not None and self._stamp == _stamps(self.folder):
            return  # nothing was mended, so it is not read again
        try:
            if self.tale is None:
                self.tale = Tale.open(self.folder)
                self.edition += 1
            else:
                self.tale.refresh()
            story = self.tale.story()
            now = read_now(self.folder)
        except (LabError, OSError) as error:
            self.tale = self._story = self.now = None
            self.problem = in_words(error, self.folder.parent)
            self._stamp = _stamps(self.folder)
            return
        if story is not self._story:  # a Tale keeps it until something changed, whoever looked
            shorter = self._story is not None and len(story.rows) < len(self._story.rows)
            self.edition += shorter
            self.version += 1
            self._story, self._made = story, {}
        self.problem, self.now = None, now

    def _json(self, what: object, make: Callable[[], bytes]) -> bytes:
        if what not in self._made:
            content = make()
            if len(self._made) >= MOST_MADE:
                self._made.clear()
            self._made[what] = content
        return self._made[what]


class Shelf(Followed):
    """The list of all campaigns."""

    every_s = LIST_EVERY_S

    def __init__(self, runs: Path, rooms: Mapping[str, Room]) -> None:
        super().__init__()
        self._runs = runs
        self._rooms = rooms
        self._lock = threading.Lock()
        self._tales: dict[str, Tale] = {}  # of campaigns that run and have no room: they grow
        self._looked_at: float | None = None
        self.briefs: list[Brief] = []

    def look(self) -> bool:
        with self._lock:
            self._looked_at = time.monotonic()
            before = self.briefs
            with contextlib.ExitStack() as locks:
                tales = self._open_tales(locks)
                inside = _folders(self._runs)
                self.briefs = [b for b in list_briefs(self._runs, tales) if b.tag in inside]
            self._keep_open(tales)
            return before != self.briefs

    def visit(self) -> None:
        """Look, unless somebody just did."""
        with self._lock:
            looked_at = self._looked_at
        if looked_at is None or time.monotonic() - looked_at > LOOK_EVERY_S:
            self.look()

    def _open_tales(self, locks: contextlib.ExitStack) -> dict[str, Tale]:
        """The Tales that are open already, so that nothing that grows is read as a whole."""
        tales = dict(self._tales)
        for tag, room in list(self._rooms.items()):
            locks.enter_context(room.lock)
            if (tale := room.opened()) is not None:
                tales[tag] = tale
        for tale in tales.values():
            with contextlib.suppress(LabError, OSError):  # its room says what is wrong with it
                tale.refresh()
        return tales

    def _keep_open(self, tales: Mapping[str, Tale]) -> None:
        kept: dict[str, Tale] = {}
        for brief in self.briefs:
            if brief.running and brief.tag not in self._rooms:
                with contextlib.suppress(LabError, OSError):
                    kept[brief.tag] = tales.get(brief.tag) or Tale.open(self._runs / brief.tag)
        self._tales = kept


class Watcher:
    """All that is followed, and the one task that looks."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._rooms: dict[str, Room] = {}  # the one asked for last comes last
        self._task: asyncio.Task[None] | None = None
        self.over = False  # the server ends
        self.shelf = Shelf(runs, self._rooms)

    def room(self, tag: str) -> Room:
        """The Room of a campaign.

        Raises:
            Problem: there is no campaign of that name.
        """
        # A name that is only compared to names cannot lead anywhere.
        shown = tag in _folders(self._runs) and not tag.startswith(".")
        if not shown or not is_campaign(self._runs / tag):
            raise Problem(404, "there is no campaign of that name.")
        room = self._rooms.pop(tag, None) or Room(self._runs, tag)
        self._rooms[tag] = room
        idle = [name for name, each in self._rooms.items() if not each.readers and each is not room]
        for name in idle[: max(0, len(idle) - MOST_ROOMS)]:
            del self._rooms[name]
        return room

    @contextlib.contextmanager
    def following(self, followed: Followed) -> Iterator[None]:
        """While the block runs, `followed` is looked at once a second, and wakes who waits for its beat."""
        followed.readers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_looking())
        try:
            yield
        finally:
            followed.readers -= 1

    def end(self) -> None:
        """End every stream, those too that begin from now on."""
        self.over = True
        for each in (self.shelf, *self._rooms.values()):
            each.wake()

    def _followed(self) -> list[Followed]:
        return [each for each in (self.shelf, *self._rooms.values()) if each.readers]

    async def _keep_looking(self) -> None:
        try:
            while followed := self._followed():
                await asyncio.sleep(LOOK_EVERY_S)
                for each in await asyncio.to_thread(_look_at, followed):
                    each.wake()
        finally:
            # Ended by a fault of ours, those who wait would wait for ever: they go, and browsers come again.
            for each in self._followed():
                each.over = True
                each.wake()


def _look_at(followed: list[Followed]) -> list[Followed]:
    """Those whose turn it is, and that changed."""
    changed = []
    for each in followed:
        if time.monotonic() >= each.due_at:
            each.due_at = time.monotonic() + each.every_s - LOOK_EVERY_S / 2
            if each.look():
                changed.append(each)
    return changed


def newest_tag(runs: Path) -> str | None:
    """The campaign that was written to last: what somebody who opens the page most likely wants to see."""
    written = {tag: _stamps(runs / tag)[-1] for tag in _folders(runs)}
    known = {tag: stamp[2] for tag, stamp in written.items() if stamp is not None}
    return max(known, key=lambda tag: known[tag], default=None)


def _folders(runs: Path) -> set[str]:
    """The names of the folders in `runs` itself. What a link leads to is not shown: it may be anywhere."""
    try:
        with os.scandir(runs) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError:  # no campaign was ever made here
        return set()


def _stamps(folder: Path) -> tuple[Stamp, ...]:
    return tuple(stamp_of(folder / name) for name in (*MARKS, LEDGER_FILE))
