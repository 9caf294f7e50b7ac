"""How a person ends a night: Ctrl-C, twice, `kill`, or a file named STOP.

Owns    the process's signal handlers while a night runs
Gives   one question: go on, stop after this experiment, or stop at once
Never   ends anything itself

A lost terminal (SIGHUP) is no reason to stop: the night goes on without a screen.
"""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any, Self

from lab.outcome import StopNow

STOP_FILE = "STOP"


class Interrupts:
    """Signal handlers, from `__enter__` to `__exit__`."""

    def __init__(self, campaign_folder: Path) -> None:
        self._stop_file = campaign_folder / STOP_FILE
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

    def check(self) -> None:
        """Raise StopNow when even the running experiment should not be waited for."""
        if self._requests > 1:
            raise StopNow

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._requests += 1

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._requests += 2
