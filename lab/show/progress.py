"""progress.png, drawn in a process of its own: `python -m lab.show.progress FOLDER`.

Owns    the child process that draws
Takes   a campaign's folder
Gives   FOLDER/progress.png
Never   holds the night up: what goes wrong with a picture is remembered, not raised
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from lab.errors import LabError
from lab.settings import CHECKOUT
from lab.show.chart import draw_progress
from lab.show.results import hardware_of, one_line, prior_of, read_campaign, read_records

PROGRESS_FILE = "progress.png"


class Plotter:
    """Keeps progress.png of one folder fresh, from a child process at a time, at low priority."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self.problem: str | None = None  # why the last drawing failed; a picture never ends a night

    def redraw(self) -> None:
        """Start drawing what the ledger holds now; returns at once, a running drawing goes on."""
        if self._child is not None and self._child.poll() is None:
            return
        self._settle()
        try:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the child
            self._child = subprocess.Popen(
                [sys.executable, "-m", "lab.show.progress", str(self._folder.resolve())],
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
        self.redraw()
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


def title_of(campaign: dict[str, Any]) -> str:
    """The campaign's name, profile and hardware, for the head of the picture."""
    parts = (campaign.get("tag"), campaign.get("profile"), hardware_of(campaign))
    return "  ·  ".join(one_line(str(part), 60) for part in parts if part)


def main(arguments: Sequence[str]) -> int:
    """`python -m lab.show.progress FOLDER`: read the ledger, draw, end."""
    if len(arguments) != 1:
        print("usage: python -m lab.show.progress FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    with contextlib.suppress(OSError):
        os.nice(10)
    try:
        campaign = read_campaign(folder)
        draw_progress(
            folder / PROGRESS_FILE,
            read_records(folder),
            title=title_of(campaign),
            prior=prior_of(campaign),
        )
    except (LabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
