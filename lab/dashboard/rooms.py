"""One campaign as it is shown, however many read it.

Owns    an open Tale, its JSON as it was made last, and what of it was announced
Takes   a campaign's folder
Gives   a Story, news and Details as JSON, or a sentence that says why there are none
Never   fails in a look: whatever is wrong with one campaign is that campaign's problem
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lab.dashboard.wire import Problem, as_json, head_of, in_words, what_broke
from lab.errors import BadInput, LabError
from lab.facts import FACTS_FILE
from lab.runs import IMPORTED_FILE
from lab.show.folder import LEDGER_FILE
from lab.story.now import read_now
from lab.story.reading import Stamp, Tale, stamp_of
from lab.story.shapes import Brief, Now, Story

LOOK_EVERY_S = 1.0
MARKS = (FACTS_FILE, IMPORTED_FILE)  # what makes a folder a campaign
MOST_MADE = 8  # JSON texts of one version: readers who came at other times want other rows


class Followed:
    """Something that changes, and those who wait for it. Everything but `look` belongs to the event loop."""

    every_s = LOOK_EVERY_S

    def __init__(self) -> None:
        self.due_at = 0.0  # when to look again; monotonic
        self.readers = 0
        self.beat = asyncio.Event()  # set when something changed, and replaced by the next

    def look(self) -> bool:
        """Read what there is to read; whether it is other than at the last call. Called in a thread.

        Whoever looks in between, because he is asked for something, must not take the change from those who wait.
        """
        raise NotImplementedError

    def wake(self) -> None:
        """Tell all who wait."""
        before, self.beat = self.beat, asyncio.Event()
        before.set()


class Room(Followed):
    """One campaign. Any thread may ask."""

    def __init__(self, runs: Path, tag: str) -> None:
        super().__init__()
        self.folder = runs / tag
        self.problem: str | None = None
        self.now: Now | None = None
        self._lock = threading.Lock()  # whoever has it may use the Tale
        self._tale: Tale | None = None
        self._looked_at = 0.0
        self._stamp: tuple[Stamp, ...] = ()  # of what could not be read
        self._story: Story | None = None
        self._made: dict[object, bytes] = {}  # JSON of this version
        self._announced: object = None
        # Another server, or another Room, has seen other versions.
        self._name = secrets.token_hex(4)
        self._opened = 0
        self._edition = f"{self._name}.0.0"  # another when the rows start anew
        self._version = 0  # grows when the Story changed

    @property
    def state(self) -> str:
        """Equal for equal Stories: who has this one need not be told it again."""
        return f"{self._edition}-{self._version}"

    @property
    def is_open(self) -> bool:
        """Whether it keeps a campaign in memory."""
        return self._tale is not None

    def look(self) -> bool:
        with self._lock:
            self._look()
            before, self._announced = self._announced, (self.state, self.now, self.problem)
            return before != self._announced

    def visit(self) -> None:
        """Look, unless somebody just did.

        Raises:
            Problem: the campaign cannot be read.
        """
        with self._lock:
            self._told_lately()

    def brief(self) -> Brief | None:
        """The campaign as a line of the list; None when it cannot be read."""
        with self._lock:
            if self._story is None or time.monotonic() - self._looked_at > LOOK_EVERY_S:
                self._look()
            return None if self._tale is None else self._tale.brief()

    def story_json(self) -> bytes:
        """The whole Story.

        Raises:
            Problem: the campaign cannot be read.
        """
        with self._lock:
            story = self._told_lately()
            return self._json(
                "story", lambda: b'%s,"state":%s}' % (as_json(story)[:-1], as_json(self.state))
            )

    def news_json(self, count: int, has: str) -> tuple[int, str, bytes]:
        """What a reader lacks who has `count` rows of the state `has`: how many rows there are, their state, the JSON.

        All rows where his are of another edition: a campaign of the same name may have as many.

        Raises:
            Problem: the campaign cannot be read.
        """
        with self._lock:
            story = self._told()
            known = has.rpartition("-")[0] == self._edition and count <= len(story.rows)
            first = count if known else 0

            def make() -> bytes:
                head = self._json("head", lambda: head_of(story))
                return b'%s,"new_rows":%s,"first":%d,"state":%s}' % (
                    head[:-1],
                    as_json(story.rows[first:]),
                    first,
                    as_json(self.state),
                )

            return len(story.rows), self.state, self._json(first, make)

    def detail_json(self, number: int) -> bytes:
        """The Detail of an experiment.

        Raises:
            Problem: there is none of that number, or the campaign cannot be read.
        """
        with self._lock:
            self._told_lately()
            assert self._tale is not None
            try:
                return as_json(self._tale.detail(number))
            except BadInput as error:
                raise Problem(404, in_words(error, self.folder.parent)) from error
            except (LabError, OSError) as error:
                raise Problem(409, in_words(error, self.folder.parent)) from error

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
        stamp = tuple(stamp_of(self.folder / name) for name in (*MARKS, LEDGER_FILE))
        if self.problem is not None and self._stamp == stamp:
            return  # nothing was mended, so it is not read again
        try:
            if self._tale is None:
                tale, self._opened = Tale.open(self.folder), self._opened + 1
            else:
                tale = self._tale
                tale.refresh()
            story, now = tale.story(), read_now(self.folder)
        except Exception as error:  # noqa: BLE001 (one campaign's folder must not end the others' news)
            self._tale = self._story = self.now = None
            self.problem = what_broke(error, self.folder)
            self._stamp = stamp
            return
        if story is not self._story:  # a Tale keeps it until something changed, whoever looked
            self._edition = f"{self._name}.{self._opened}.{tale.edition}"
            self._version += 1
            self._story, self._made = story, {}
        self._tale, self.problem, self.now = tale, None, now

    def _json(self, what: object, make: Callable[[], bytes]) -> bytes:
        if what not in self._made:
            content = make()
            if len(self._made) >= MOST_MADE:
                self._made.clear()
            self._made[what] = content
        return self._made[what]
