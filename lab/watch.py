"""`lab watch`: the night's own view, from another terminal.

Owns    how somebody comes and goes while a night runs
Takes   the campaign's folder: the ledger, events.jsonl and now.json
Gives   the same picture as the night itself, and how it ended
Never   touches the campaign: no lock, no write, and Ctrl-C ends only the watching
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

from rich.console import Console

from lab.runs import is_running
from lab.show.events import NoLog
from lab.show.folder import hardware_of, prior_of, read_campaign, read_records
from lab.show.screen import Screen
from lab.show.status import describe
from lab.show.view import Phase, Standing, standing_of
from lab.story.now import read_now
from lab.story.shapes import Now

LOOK_EVERY_S = 0.5
EVENTS = "events.jsonl"
LEDGER = "ledger.jsonl"
# What ends a night by itself; without one of these it was killed.
ENDINGS = ("overnight.finished", "replay.finished")
BEGINNINGS = ("overnight.started", "replay.started")
LAST_BYTES = (
    256 * 1024
)  # of events.jsonl, that are looked at for how it stands; a line has a few hundred


def watch(folder: Path, console: Console | None = None) -> None:
    """Show the night in `folder` until it ends or the person leaves; one that does not run is described.

    Raises:
        CampaignError: there is no campaign in `folder`, or it was altered.
    """
    if not is_running(folder):
        (console or Console()).print(describe(folder, running=False))
        return
    campaign = _Seen.now(folder)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _Events(folder / EVENTS) as events,
        Screen(NoLog(), console) as screen,
    ):
        try:
            _follow(campaign, events, screen)
        except KeyboardInterrupt:
            screen.say(f"you left; the night {folder.name} goes on")


@dataclass(slots=True)
class _Seen:
    """A campaign as it was at the last look: its ledger is read again only when it has grown."""

    folder: Path
    facts: dict[str, Any]
    standing: Standing
    size: int

    @classmethod
    def now(cls, folder: Path) -> _Seen:
        facts = read_campaign(folder)
        size = _size_of(folder / LEDGER)
        return cls(folder=folder, facts=facts, standing=_standing_of(folder, facts), size=size)

    def read_again(self) -> None:
        size = _size_of(self.folder / LEDGER)
        if size != self.size:
            self.standing = _standing_of(self.folder, self.facts)
            self.size = size

    def standing_at(self, now: Now | None) -> Standing:
        """Where it stands, with the limits of the night that runs."""
        if now is None:
            return self.standing
        return replace(
            self.standing, experiments_limit=now.experiments_limit, seconds_left=now.seconds_left
        )


def _standing_of(folder: Path, facts: dict[str, Any]) -> Standing:
    return standing_of(
        read_records(folder),
        tag=str(facts.get("tag") or folder.name),
        profile=str(facts.get("profile") or ""),
        hardware=hardware_of(facts),
        prior=prior_of(facts),
    )


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Events:
    """events.jsonl from `__enter__` on, a whole line at a time; a night that just began has none yet."""

    def __init__(self, path: Path) -> None:
        self.ended = False  # the last word is that the night is over
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._file = self._path.open("rb")
            self._file.seek(max(0, _size_of(self._path) - LAST_BYTES))
            for _ in self.new():
                pass  # what happened before is not told; but it may have ended just now
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def new(self) -> Iterator[tuple[str, dict[str, object]]]:
        """What happened since the last call: names and facts."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except OSError:
                return
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):  # torn by a power cut
                facts = json.loads(line)
                if isinstance(facts, dict) and isinstance(name := facts.pop("event", None), str):
                    facts.pop("at", None)
                    if name in ENDINGS + BEGINNINGS:
                        self.ended = name in ENDINGS
                    yield name, facts


def _follow(seen: _Seen, events: _Events, screen: Screen) -> None:
    """Draw until no controller holds the campaign, or nobody looks any more."""
    while screen.broken is None:
        running = is_running(seen.folder)  # before the events: the last ones come before the end
        for name, facts in events.new():
            screen.event(name, **facts)
        now = read_now(seen.folder) if running else None
        seen.read_again()
        screen.standing(seen.standing_at(now))
        screen.follow(_phase_of(now))
        if not running:
            break
        time.sleep(LOOK_EVERY_S)
    if not events.ended and screen.broken is None:
        screen.say("the night has ended without a word: it was killed, or the host was")
    if screen.broken is None:
        screen.say(f"`lab status --tag {seen.folder.name}` shows it, and how to go on")


def _phase_of(now: Now | None) -> Phase | None:
    """What runs at this moment; None where that is not known, as an old Now does not."""
    if now is None or now.experiment is None or now.old_s is not None:
        return None
    return Phase(
        name=now.phase,
        cap_s=now.cap_s,
        experiment=now.experiment,
        title=now.title,
        elapsed_s=now.elapsed_s,
        fraction=now.fraction,
        loss=now.loss,
        tokens_per_s=now.tokens_per_s,
    )
