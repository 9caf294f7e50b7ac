"""What a night needs open and a test needs nothing of: an engine and a plotter that do nothing."""

from __future__ import annotations

from pathlib import Path


class Engine:
    """An engine that makes nothing, and answers."""

    seconds = 0.0
    made = frozenset[str]()

    def reap(self, *, campaign: str | None = None) -> list[str]:
        return []

    def answers(self) -> bool:
        return True


class NoPlotter:
    """A report costs seconds, and is tested elsewhere."""

    problem: str | None = None

    def __init__(self, folder: Path) -> None: ...
    def redraw(self) -> None: ...
    def close(self) -> None: ...
