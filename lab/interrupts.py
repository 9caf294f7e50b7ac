"""How a person ends a night: Ctrl-C, twice, `kill`, or a file named STOP, which may say "now".

Owns    the process's signal handlers while a night runs
Gives   one question: go on, stop after this experiment, or stop at once
Never   ends anything itself

A lost terminal (SIGHUP) is no reason to stop: the night goes on without a screen.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Self

from lab.outcome import StopNow

STOP_FILE = "STOP"
AT_ONCE = "now"  # in the file: not even the running experiment is waited for
LOOK_EVERY_S = 0.25  # at the file, however often `check` is called
_MOST_BYTES = 64  # of the file; a longer one says something else


class Interrupts:
    """Signal handlers, from `__enter__` to `__exit__`."""

    def __init__(
        self, campaign_folder: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stop_file = campaign_folder / STOP_FILE
        self._clock = clock
        self._looked: float | None = None
        self._requests = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number, handler in (
            (signal.SIGINT, self._on_interrupt),
            (signal.SIGTERM, self._on_terminate),
            (signal.SIGHUP, signal.SIG_IGN),
        ):
            self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def why_stop(self) -> str | None:
        """Why no further experiment should start; None to go on."""
        if self._requests:
            return "you asked for it (Ctrl-C)"
        if self._stop_file.exists():
            return f"there is a file named {STOP_FILE} in the campaign; remove it to resume"
        return None

    def why_stopped(self) -> str:
        """What StopNow means for the experiment that ran."""
        again = "the unfinished experiment is run again on resume"
        if self._requests < 2 and says_now(self._stop_file):
            return f"{STOP_FILE} in the campaign says {AT_ONCE}; remove it to resume, and {again}"
        return f"you asked to stop at once; {again}"

    def check(self) -> None:
        """Raise StopNow when even the running experiment should not be waited for."""
        if self._requests > 1:
            raise StopNow
        now = self._clock()
        if self._looked is None or now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            if says_now(self._stop_file):
                raise StopNow

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._requests += 1

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._requests += 2


def says_now(stop_file: Path) -> bool:
    """Whether there is a STOP file that asks to end at once; any other asks to finish the experiment."""
    with contextlib.suppress(OSError):
        if stop_file.is_file():  # reading a pipe of that name would wait for its writer
            with stop_file.open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
                return len(text) <= _MOST_BYTES and text.strip().lower() == AT_ONCE.encode()
    return False
