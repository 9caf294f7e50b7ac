"""What a person sees of a running night: a live terminal, or one line an event.

Owns    the terminal while the night runs, and events.jsonl
Takes   events, phases and standings, from the controller's thread
Gives   nothing back: no call waits for the terminal and none raises
Never   ends a night: a terminal that is gone, full or stopped (Ctrl-S, a laptop asleep behind ssh)
        only means that nobody looks. A thread of its own draws, and events.jsonl goes on

The cursor stays visible and no terminal mode is changed, so `kill -9` leaves a usable terminal too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab.glimpse import Glimpse
from lab.redaction import without_secrets
from lab.show.events import EventLog, sentence_of
from lab.show.view import STYLES, Phase, Standing, compact, draw, rate
from lab.show.words import one_line

REFRESH_S = 0.5  # two a second look alive; each costs some milliseconds of the cores that train
HEARTBEAT_S = 60.0  # without a terminal, how often a long phase says that it is alive
CLOSING_S = 3.0  # the last words may take this long; a stuck terminal must not hold the end up
WAITING_LINES = 1000  # lines kept for a terminal that does not take them


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line above the live region."""

    text: str
    at: str = ""  # when, for an event
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a Screen shows at this moment."""

    phase: Phase | None  # None between two experiments
    standing: Standing | None
    idea: Mapping[str, object]  # the facts of `experiment.proposed` of the phase's experiment
    glimpse: Glimpse | None  # of the last train container of that experiment


class Screen:
    """Open while a night runs. Every method may be called at any time, on a dead terminal too."""

    def __init__(
        self, log: EventLog, console: Console | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._owns_console = console is None
        console = console or _terminal()
        self.console = console
        self.live = console.is_terminal and not console.is_dumb_terminal
        self.broken: str | None = None  # why nothing is shown any more
        self._log = log
        self._clock = clock
        self._lines: deque[Line] = deque(maxlen=WAITING_LINES)
        self._standing: Standing | None = None
        self._standing_at = 0.0
        self._phase: Phase | None = None
        self._phase_at = 0.0
        self._idea: Mapping[str, object] = {}
        self._glimpse: Glimpse | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="screen", daemon=True)

    def event(self, name: str, /, **facts: object) -> None:
        """Something happened: one line in events.jsonl, and a sentence for the person."""
        self._log.write(name, facts)
        if name == "experiment.proposed":
            self._idea, self._glimpse = facts, None
        if name == "experiment.finished":
            self._phase = self._glimpse = None
            self._idea = {}
        if not (self.live and name == "phase.started"):  # the live region shows the phase itself
            kept = name == "experiment.finished" and facts.get("ending") == "keep"
            self._put(sentence_of(name, facts), time.strftime("%H:%M:%S"), STYLES["keep"] * kept)

    def phase(
        self,
        name: str,
        *,
        cap_s: float | None = None,
        experiment: int | None = None,
        title: str | None = None,
    ) -> None:
        """The experiment enters a phase: "proposing", "start-up", "training" or "evaluation".

        Number and title stay those of the phase before when they are not given.
        """
        before = self._phase
        if before and experiment in (None, before.experiment):
            experiment = before.experiment
            title = before.title if title is None else title
        self._phase_at = self._clock()
        self._phase = Phase(name=name, cap_s=cap_s, experiment=experiment, title=title or "")
        self.event("phase.started", phase=name, experiment=experiment, cap_s=cap_s, title=title)

    def follow(self, phase: Phase | None) -> None:
        """The phase of a night that somebody else runs, as it was a moment ago; None between two experiments."""
        self._phase_at = self._clock() - (phase.elapsed_s if phase else 0.0)
        self._phase = phase

    def advance(
        self,
        *,
        fraction: float | None = None,
        loss: float | None = None,
        tokens_per_s: float | None = None,
    ) -> None:
        """The phase goes on; cheap, and forgets nothing: what is None stays as it was."""
        phase = self._phase
        if phase is None:
            return
        if fraction is not None:
            phase.fraction = fraction
        if loss is not None:
            phase.loss = loss
        if tokens_per_s is not None:
            phase.tokens_per_s = tokens_per_s

    def running(self, glimpse: Glimpse) -> None:
        """A train container runs, and may be looked at."""
        self._glimpse = glimpse

    def moment(self) -> Moment:
        """What is on the screen now, for somebody who shows it elsewhere; from any thread."""
        self._tell_time()
        phase, standing, idea = self._phase, self._counted_down(), self._idea
        return Moment(
            phase=dataclasses.replace(phase) if phase else None,
            standing=standing,
            # The agent may propose while nothing runs: then the last idea is not what the phase is about.
            idea=idea if phase and phase.experiment == idea.get("experiment") else {},
            glimpse=self._glimpse,
        )

    def standing(self, standing: Standing) -> None:
        """Where the campaign stands now; the time left counts down from here by itself."""
        self._standing_at = self._clock()
        self._standing = standing

    def say(self, text: str) -> None:
        """Plain words for the person, above the live region; not an event. Lines stay lines.

        The one method that a signal handler may call: it takes no lock.
        """
        for line in text.splitlines():
            indent = line[: len(line) - len(line.lstrip(" "))]
            self._put(indent + one_line(without_secrets(line)))

    def __enter__(self) -> Self:
        self._log.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._phase = None
        if self._log.lost:
            self._put(f"{self._log.lost} events could not be written to {self._log.path}.")
        self._closing.set()
        self._thread.join(CLOSING_S)
        if (
            self._owns_console
            and not self._thread.is_alive()
            and self.console.file is not sys.stdout
        ):
            with contextlib.suppress(OSError):
                self.console.file.close()
        self._log.__exit__(kind, error, trace)

    def _put(self, text: str, at: str = "", style: str = "") -> None:
        if self.broken is None:
            self._lines.append(Line(text=text, at=at, style=style))

    # ---- below, the drawing thread ----

    def _draw_on(self) -> None:
        """Draw until closed. Whatever goes wrong ends here: rich exits on a broken pipe."""
        try:
            if self.live:
                self._draw_live()
            else:
                self._print_lines()
        except BaseException as error:  # noqa: BLE001, nothing may leave this thread
            self.broken = f"{type(error).__name__}: {error}"
            self._lines.clear()
            self._log.write("screen.broken", {"reason": self.broken})

    def _draw_live(self) -> None:
        live = Live(
            console=self.console,
            auto_refresh=False,
            get_renderable=self._picture,
            vertical_overflow="crop",
        )
        try:
            live.start()
            # Live hides the cursor, and a killed process could not bring it back.
            self.console.show_cursor(True)
            while not self._closing.wait(REFRESH_S):
                self._flush()
                live.refresh()
            self._flush()
        finally:
            live.stop()

    def _print_lines(self) -> None:
        beat = self._clock() + HEARTBEAT_S
        while not self._closing.wait(REFRESH_S):
            if self._lines:
                beat = self._clock() + HEARTBEAT_S
            elif self._clock() >= beat:
                beat += HEARTBEAT_S
                self._lines.extend(Line(text=text) for text in self._heartbeat())
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while self._lines:
            line = self._lines.popleft()
            if self.live and line.at:  # a long one goes on under its words, not under the time
                words = Table.grid(padding=(0, 1))
                words.add_row(Text(line.at, "dim", no_wrap=True), Text(line.text, line.style))
                self.console.print(words, highlight=False)
            else:
                text = f"{line.at} {line.text}" if line.at else line.text
                self.console.print(Text(text), soft_wrap=not self.live, highlight=False)

    def _picture(self) -> RenderableType:
        self._tell_time()
        standing = self._counted_down()
        if standing is None and self._phase is None:
            return Text("")
        return draw(standing, self._phase, rows=self.console.height - 1, columns=self.console.width)

    def _counted_down(self) -> Standing | None:
        standing = self._standing
        if standing and standing.seconds_left is not None:
            left = standing.seconds_left - (self._clock() - self._standing_at)
            standing = dataclasses.replace(standing, seconds_left=max(0.0, left))
        return standing

    def _tell_time(self) -> None:
        phase = self._phase
        if phase is not None:
            phase.elapsed_s = max(0.0, self._clock() - self._phase_at)

    def _heartbeat(self) -> list[str]:
        self._tell_time()
        phase = self._phase
        if phase is None:
            return []
        number = f"#{phase.experiment} " if phase.experiment is not None else ""
        cap = f" of {phase.cap_s:.0f}" if phase.cap_s else ""
        text = f"{number}{phase.name}, {phase.elapsed_s:.0f}{cap} s"
        if phase.loss is not None:
            text += f", loss {compact(phase.loss, 3)}"
        if phase.tokens_per_s is not None:
            text += f", {rate(phase.tokens_per_s)} tokens/s"
        return [one_line(text)]


def open_screen(events_path: Path, *, console: Console | None = None) -> Screen:
    """A Screen that writes `events_path` and draws on `console`, else on standard output.

    Standard output gets a live region where it is a terminal, plain lines without colour where not.
    """
    return Screen(EventLog(events_path), console)


def _terminal() -> Console:
    """A console with a file of its own on standard output.

    A thread stuck in a write holds its file's lock; with that of sys.stdout, Python cannot exit.
    """
    sys.stdout.flush()
    file: IO[str] = sys.stdout
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        file = os.fdopen(
            os.dup(sys.stdout.fileno()),
            "w",
            encoding=sys.stdout.encoding or "utf-8",
            errors="replace",  # a title may have letters that the terminal's encoding lacks
        )
    is_terminal = file.isatty()
    return Console(
        file=file, force_terminal=is_terminal, color_system="auto" if is_terminal else None
    )
