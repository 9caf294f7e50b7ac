"""All campaigns of a lab as a list that is asked for again and again.

Owns    what was read of each campaign already: a lab of years is a thousand ledgers, and one of them grows
Takes   the runs folder
Gives   Briefs, the newest first
Never   lets one campaign, whatever is in its folder, hide the others
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError
from lab.facts import FACTS_FILE
from lab.runs import IMPORTED_FILE, is_running
from lab.show.folder import LEDGER_FILE
from lab.show.words import one_line
from lab.story.reading import Tale, marks_of, stamp_of
from lab.story.shapes import Brief

_log = logging.getLogger(__name__)


def _nobody(folder: Path) -> Brief | None:
    return None


class Briefs:
    """What is known of each campaign of a runs folder. One thread at a time."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._known: dict[
            Path, tuple[object, Brief]
        ] = {}  # what it was read from, and what it said
        self._growing: dict[Path, Tale] = {}  # a night that runs is never read as a whole again

    def read(self, told: Callable[[Path], Brief | None] = _nobody) -> list[Brief]:
        """Every campaign and imported table, the newest first; one that cannot be read says why.

        What did not change since the last call is not read again. `told` is asked first: it may have a campaign open.
        """
        folders = [self._runs / name for name in folders_of(self._runs)]
        campaigns = [folder for folder in sorted(folders) if is_campaign(folder)]
        self._known = {each: self._known[each] for each in campaigns if each in self._known}
        self._growing = {each: self._growing[each] for each in campaigns if each in self._growing}
        found = [told(folder) or self._brief(folder) for folder in campaigns]
        return sorted(found, key=lambda brief: (brief.created_at or "", brief.tag), reverse=True)

    def _brief(self, folder: Path) -> Brief:
        try:
            running = is_running(folder)
            read_from = (marks_of(folder), stamp_of(folder / LEDGER_FILE), running)
        except OSError as error:
            return _unreadable(folder, error)
        before, brief = self._known.get(folder, (None, None))
        if brief is None or before != read_from:
            try:
                brief = self._read(folder, running=running)
            except Exception as error:  # noqa: BLE001 (whatever a folder makes of our code, the others are listed)
                self._growing.pop(folder, None)
                brief = _unreadable(folder, error)
            self._known[folder] = (read_from, brief)
        return brief

    def _read(self, folder: Path, *, running: bool) -> Brief:
        tale = self._growing.pop(folder, None)
        if tale is None:
            tale = Tale.open(folder)
        else:
            tale.refresh()
        if running:
            self._growing[folder] = tale
        return tale.brief()


def _unreadable(folder: Path, error: Exception) -> Brief:
    """The Brief of a campaign that cannot be read. A fault of ours is told at the terminal, too."""
    if isinstance(error, LabError):
        problem = one_line(f"{error.what} {error.why}").replace(f"{folder.parent}/", "")
    elif isinstance(error, OSError):  # it may be another user's
        problem = f"it cannot be read: {error.strerror or type(error).__name__}."
    else:
        _log.error("the campaign %s cannot be read", folder.name, exc_info=error)
        problem = f"it cannot be read: {type(error).__name__}."
    return Brief(tag=folder.name, problem=problem)


def list_briefs(runs: Path) -> list[Brief]:
    """Every campaign and imported table, read now."""
    return Briefs(runs).read()


def is_campaign(folder: Path) -> bool:
    """Whether a folder holds a campaign or an imported table."""
    try:
        return any((folder / name).exists() for name in (FACTS_FILE, IMPORTED_FILE))
    except OSError:  # nobody looks into it but its owner; whoever opens it will say so
        return True


def folders_of(runs: Path) -> set[str]:
    """The names of the folders in `runs` itself. What a link leads to is not shown: it may be anywhere."""
    try:
        with os.scandir(runs) as entries:
            return {
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            }
    except OSError:  # no campaign was ever made here
        return set()
