"""Pictures and report of a night, made in a process of its own: `python -m lab.report.drawing FOLDER`.

Owns    the child process that draws and writes
Takes   a campaign's folder
Gives   FOLDER/progress.png, card.png and report.html
Never   holds the night up: what goes wrong with them is remembered, not raised
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from lab.errors import LabError
from lab.parquet import remove_drafts
from lab.settings import CHECKOUT

PROGRESS_FILE, CARD_FILE, REPORT_FILE = "progress.png", "card.png", "report.html"

# The last one: the controller that waits for it still holds the campaign, and no experiment follows.
ENDED = "--ended"


class Plotter:
    """Keeps pictures and report of one folder fresh, from one child process at a time, at low priority."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self.problem: str | None = None  # why the last drawing failed; none ever ends a night

    def redraw(self) -> None:
        """Start drawing what the ledger holds now; returns at once, a running drawing goes on."""
        self._start()

    def _start(self, *more: str) -> None:
        if self._child is not None and self._child.poll() is None:
            return
        self._settle()
        try:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the child
            self._child = subprocess.Popen(
                [sys.executable, "-m", "lab.report.drawing", str(self._folder.resolve()), *more],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the controller; it stops this child itself
            )
        except OSError as error:
            self.problem = str(error)

    def close(self, *, timeout_s: float = 60.0) -> None:
        """Draw the night as it ended, and leave no child behind."""
        self._wait(timeout_s)
        self._start(ENDED)
        self._wait(timeout_s)

    def stop(self) -> None:
        """Leave no child behind, at once; the picture stays as it was."""
        self._wait(0.0)

    def _wait(self, timeout_s: float) -> None:
        if self._child is not None:
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
                remove_drafts(self._folder, self._child.pid)
        self._settle()

    def _settle(self) -> None:
        """Take note of how a finished child ended."""
        if self._child is not None and self._errors is not None:
            self._errors.seek(0)
            words = self._errors.read()[-2000:].decode("utf-8", "replace").strip()
            self._errors.close()
            failed = self._child.returncode != 0
            self.problem = (words or f"exit code {self._child.returncode}") if failed else None
        self._child = self._errors = None


def main(arguments: Sequence[str]) -> int:
    """`python -m lab.report.drawing FOLDER [--ended]`: read the campaign, draw, write, end."""
    folders = [word for word in arguments if word != ENDED]
    if len(folders) != 1:
        print(f"usage: python -m lab.report.drawing FOLDER [{ENDED}]", file=sys.stderr)
        return 2
    with contextlib.suppress(OSError):
        os.nice(19)
    # Imported late: the controller imports this module, and needs none of what draws.
    from lab.report.writing import write_all

    try:
        write_all(Path(folders[0]), ended=ENDED in arguments)
    except (LabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
