"""now.json while a night runs: a thread of its own that looks at the Screen and at the train container.

Owns    when it is written, and the bounds of what is in it
Takes   the Screen, which knows what happens
Gives   a Now about once a second, and no file after the night
Never   makes the night wait, and never ends it: a full disk, a slow one or a silent engine only makes the page old

Not the Screen's thread: a terminal that takes nothing (Ctrl-S, a laptop asleep behind ssh) is just when somebody
opens the page, and a slow engine must not stop the terminal.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.errors import EngineError
from lab.glimpse import Claim, Glimpse
from lab.redaction import without_secrets
from lab.show.screen import Moment, Screen
from lab.show.words import one_line
from lab.story.now import remove_now, write_now
from lab.story.shapes import CURVE_POINTS, LOG_CHARS, Now, Point
from lab.training import clean

EVERY_S = 1.0
LOG_EVERY_S = 5.0  # a question to the engine, which is busy with the training's own
CLOSING_S = 2.0  # a disk that takes longer keeps its file, which then means nothing
HYPOTHESIS_CHARS = 4_000
WAITING = "waiting"  # between two experiments: for the card, for the agent, for the disk
_IN_THE_CONTAINER = ("start-up", "training")


class Bulletin:
    """Writes now.json from `__enter__` to `__exit__`."""

    def __init__(
        self,
        folder: Path,
        screen: Screen,
        *,
        agent: str,
        every_s: float = EVERY_S,
        log_every_s: float = LOG_EVERY_S,
    ) -> None:
        self.broken: str | None = None  # why nothing is written any more
        self._folder = folder
        self._screen = screen
        self._agent = agent
        self._every_s = every_s
        self._log = _LogTail(log_every_s)
        self._over = threading.Event()
        # A daemon: a disk that hangs must not keep the controller from ending.
        self._thread = threading.Thread(target=self._tell_on, name="bulletin", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(CLOSING_S)

    def _tell_on(self) -> None:
        try:
            remove_now(self._folder)  # a killed night left one, and says something else
            while not self._over.is_set():
                now = self._look()
                with contextlib.suppress(OSError):  # the next one may fit
                    write_now(self._folder, now)
                self._over.wait(self._every_s)
        except Exception as error:  # noqa: BLE001 (whatever it is, a thread has nobody above it to tell)
            self.broken = f"{type(error).__name__}: {error}"
            self._screen.event("bulletin.broken", reason=self.broken)
        finally:
            remove_now(self._folder)

    def _look(self) -> Now:
        moment = self._screen.moment()
        log = self._log.of(moment)
        phase, standing, idea, glimpse = (
            moment.phase,
            moment.standing,
            moment.idea,
            moment.glimpse,
        )
        inside = phase is not None and phase.name in _IN_THE_CONTAINER
        return Now(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            pid=os.getpid(),
            experiment=phase.experiment if phase else None,
            kind=str(idea["kind"]) if idea.get("kind") else None,
            title=one_line(without_secrets(phase.title if phase else ""), 200),
            hypothesis=clean(without_secrets(str(idea.get("hypothesis") or "")))[:HYPOTHESIS_CHARS],
            agent=one_line(str(idea.get("agent") or self._agent), 80),
            phase=phase.name if phase else WAITING,
            cap_s=phase.cap_s if phase else None,
            elapsed_s=phase.elapsed_s if phase else 0.0,
            fraction=phase.fraction if phase else None,
            loss=phase.loss if phase else None,
            tokens_per_s=phase.tokens_per_s if phase else None,
            curve=thinned(glimpse.claims()) if glimpse else (),
            telemetry=dict(glimpse.sample()) if glimpse and inside else {},
            log_tail=log,
            seconds_left=standing.seconds_left if standing else None,
            experiments_limit=standing.experiments_limit if standing else None,
        )


class _LogTail:
    """The end of the train container's log, asked for now and then, and kept while it is judged."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._glimpse: Glimpse | None = None
        self._asked = float("-inf")
        self._text = ""

    def of(self, moment: Moment) -> str:
        """The last text there was; a question that fails changes nothing."""
        if moment.glimpse is not self._glimpse:
            self._glimpse, self._text, self._asked = moment.glimpse, "", float("-inf")
        inside = moment.phase is not None and moment.phase.name in _IN_THE_CONTAINER
        if self._glimpse and inside and time.monotonic() - self._asked >= self._every_s:
            with contextlib.suppress(EngineError):
                self._text = _shown(self._glimpse.log_tail())
            self._asked = time.monotonic()
        return self._text


def _shown(log: bytes) -> str:
    """The end of a log as text: harmless, without secrets, and a progress bar's lines one below the other."""
    text = log.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return without_secrets(clean(text))[-LOG_CHARS:]


def thinned(claims: Sequence[Claim]) -> tuple[Point, ...]:
    """The curve so far in at most CURVE_POINTS: every k-th claim, and the last."""
    kept = list(claims)  # it grows meanwhile
    step = max(1, -(-len(kept) // (CURVE_POINTS - 1)))
    points = kept[::step]
    if kept and points[-1] is not kept[-1]:
        points.append(kept[-1])
    return tuple(Point(train_s=claim.train_s, step=claim.step, loss=claim.loss) for claim in points)
