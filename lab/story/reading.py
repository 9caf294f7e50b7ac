"""A campaign's folder as a Story that grows with its ledger.

Owns    what was read of a ledger already, so that only new lines are parsed
Takes   the folder of a campaign, running or not, or of an imported table
Gives   a Tale
Never   writes, takes the lock or checks the chain: looking at a night that runs cannot disturb it
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.errors import BadInput, CampaignError
from lab.facts import FACTS_FILE
from lab.imported import TABLE_FILE, Imported, read_imported
from lab.ledger import Record
from lab.runs import IMPORTED_FILE, is_running
from lab.show.folder import (
    LEDGER_FILE,
    hardware_of,
    is_replay,
    prior_of,
    read_campaign,
    record_of,
    told_version,
)
from lab.show.words import one_line
from lab.story.branches import branches_of
from lab.story.budget import budget_of
from lab.story.contributions import contributions_of, contributions_of_imported
from lab.story.detail import detail_of, detail_of_imported
from lab.story.facts import (
    class_of,
    commands_of,
    conditions_of,
    facts_of,
    facts_of_imported,
    missing_of,
)
from lab.story.rows import Course, rows_of_imported
from lab.story.sentences import sentences_of, sentences_of_imported
from lab.story.shapes import Brief, Detail, Row, Story
from lab.story.standing import standing_of, standing_of_imported

# Inode, size, time of the last write, and of the last change to its rights; None: no such file.
Stamp = tuple[int, int, int, int] | None


class Tale:
    """One campaign as it is read. Everything in it is as of the last `refresh`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tag = folder.name
        self.records: list[Record] = []  # empty for an imported table
        self.imported: Imported | None = None
        self.running = False
        self.edition = 0  # grows when the rows that were told are no more those of the campaign
        self._marks: tuple[Stamp, ...] = ()  # of what makes the folder a campaign
        self._campaign: dict[str, Any] = {}
        self._rows: list[Row] = []
        self._course = Course()
        self._read_bytes = 0  # of the ledger: whole lines
        self._tip_sha256: str | None = None  # of its last whole line
        self._seen: Stamp = None
        self._story: Story | None = None

    @classmethod
    def open(cls, folder: Path) -> Tale:
        """Read a campaign, or what was imported.

        Raises:
            CampaignError: there is neither, or it was altered.
        """
        tale = cls(folder)
        tale.refresh()
        return tale

    def refresh(self) -> bool:
        """Read what the ledger grew by, or all where the campaign is another; whether anything changed.

        Without a change, a few stats and a look at the lock.

        Raises:
            CampaignError: there is no campaign any more, a new line is not a Record, or the ledger cannot be read.
        """
        changed = self._begin()
        if self.imported is None:
            changed = self._grow() or changed
        if changed:
            self._story = None
        return changed

    def story(self) -> Story:
        """The whole campaign; the same object until a `refresh` finds a change."""
        if self._story is None:
            self._story = self._tell() if self.imported is None else self._tell_imported()
        return self._story

    def rows_since(self, count: int) -> tuple[Row, ...]:
        """The Rows after the first `count`."""
        return tuple(self._rows[max(count, 0) :])

    def detail(self, number: int) -> Detail:
        """What experiment `number` opens to.

        Raises:
            BadInput: there is none.
        """
        row = self.row(number)
        if self.imported is not None:
            return detail_of_imported(row)
        return detail_of(self.folder, self.records, number)

    def row(self, number: int) -> Row:
        """Experiment `number` as a line.

        Raises:
            BadInput: there is none.
        """
        if not 1 <= number <= len(self._rows):
            raise BadInput(
                f"there is no experiment {number} in {self.tag}.",
                why=f"it has {len(self._rows)}.",
                do=f"name one of 1 to {len(self._rows)}." if self._rows else "wait for the first.",
            )
        return self._rows[number - 1]

    def brief(self) -> Brief:
        """The campaign as a line of a list."""
        return _brief(self)

    @property
    def best_experiment(self) -> int | None:
        """The run whose weights are the best: what a command means that names no number."""
        return self.story().standing.best_experiment

    def _begin(self) -> bool:
        """Read what the campaign is, unless that is known; whether it was not."""
        marks = marks_of(self.folder)
        if marks == self._marks:
            return False
        campaign, imported = {}, None
        if is_imported(self.folder):
            imported = read_imported(self.folder)
        else:
            campaign = read_campaign(self.folder)
        self._forget()  # whatever the ledger looks like: its file may have the number of the one before
        self._campaign, self.imported, self._marks = campaign, imported, marks
        self._rows = [] if imported is None else list(rows_of_imported(imported.runs))
        self.running = False
        return True

    def _grow(self) -> bool:
        running = is_running(self.folder)
        changed = running != self.running
        self.running = running
        seen = stamp_of(self.folder / LEDGER_FILE)
        if seen != self._seen:
            try:
                changed = self._read(seen) or changed
            except CampaignError as error:
                raise told_version(error, self.folder, self._campaign) from error
            self._seen = seen
        return changed

    def _read(self, seen: Stamp) -> bool:
        """Parse the whole lines that are new; whether there were any. A torn last line is no line yet."""
        if self._seen and (seen is None or seen[0] != self._seen[0] or seen[1] < self._read_bytes):
            self._forget()  # another file, or a line was taken back that never reached the disk
        if seen is None:
            return True
        path = self.folder / LEDGER_FILE
        try:
            with path.open("rb") as file:
                file.seek(self._read_bytes)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError as error:
            raise CampaignError(
                f"the ledger {path} cannot be read.", why=error.strerror or str(error)
            ) from error
        if newline:
            with _uncollected():
                self._add(whole.split(b"\n"), path)
        return bool(newline)

    def _add(self, lines: list[bytes], path: Path) -> None:
        for line in lines:
            record = record_of(line, path, len(self.records) + 1)
            if record.number != len(self.records) + 1:
                raise CampaignError(
                    f"the ledger {path} was altered.",
                    why=f"line {len(self.records) + 1} is experiment {record.number}.",
                    do="restore the file from a copy; nothing was written.",
                )
            self.records.append(record)
            self._rows.append(self._course.add(record))
            self._read_bytes += len(line) + 1
            self._tip_sha256 = hashlib.sha256(line).hexdigest()

    def _forget(self) -> None:
        self.records, self._rows, self._course = [], [], Course()
        self._read_bytes, self._tip_sha256, self._seen = 0, None, None
        self.edition += 1

    def _tell(self) -> Story:
        campaign = self._campaign
        standing = standing_of(self.records, prior_of(campaign))
        return Story(
            tag=self.tag,
            running=self.running,
            imported=False,
            profile=_text(campaign, "profile"),
            agent=_text(campaign, "agent"),
            hardware=hardware_of(campaign) or None,
            class_id=_class_id(campaign),
            created_at=_text(campaign, "created_at"),
            sentences=sentences_of(standing, campaign, running=self.running),
            standing=standing,
            rows=tuple(self._rows),
            contributions=contributions_of(self.records, self._rows),
            lineage=branches_of(self.records, self._rows),
            budget=budget_of(self.records),
            facts=facts_of(campaign, len(self.records), tip_sha256=self._tip_sha256),
            hardware_class=class_of(campaign),
            conditions=conditions_of(campaign),
            missing=missing_of(campaign),
            commands=commands_of(self.tag, replay=is_replay(campaign)),
        )

    def _tell_imported(self) -> Story:
        assert self.imported is not None
        standing, table = standing_of_imported(self._rows), self.imported
        return Story(
            tag=self.tag,
            running=False,
            imported=True,
            profile=None,
            agent=None,
            hardware=None,
            class_id=None,
            created_at=table.imported_at,
            sentences=sentences_of_imported(standing, file=table.file),
            standing=standing,
            rows=tuple(self._rows),
            contributions=contributions_of_imported(self._rows),
            lineage=(),
            budget=(),
            facts=facts_of_imported(table.file, table.sha256, table.imported_at),
            hardware_class=(),
            conditions=(),
            missing=(),
            commands=(),
        )


def stamp_of(path: Path) -> Stamp:
    """What changes when a file does."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def is_imported(folder: Path) -> bool:
    """Whether a folder holds somebody's table, and no campaign of this lab."""
    return (folder / IMPORTED_FILE).exists() and not (folder / FACTS_FILE).exists()


def marks_of(folder: Path) -> tuple[Stamp, ...]:
    """What is other where another campaign has the name. A campaign's own results.tsv is not: it grows."""
    files = (IMPORTED_FILE, TABLE_FILE) if is_imported(folder) else (FACTS_FILE,)
    return tuple(stamp_of(folder / name) for name in files)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, which Records have none of: it would take a third of the time to read 10,000."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _brief(tale: Tale) -> Brief:
    story = tale.story()
    return Brief(
        tag=tale.tag,
        problem=None,
        running=story.running,
        imported=story.imported,
        profile=story.profile,
        hardware=story.hardware,
        class_id=story.class_id,
        created_at=story.created_at,
        tried=story.standing.tried,
        kept=story.standing.kept,
        baseline_bpb=story.standing.baseline_bpb,
        best_bpb=story.standing.best_bpb,
    )


def _text(campaign: dict[str, Any], name: str) -> str | None:
    value = campaign.get(name)
    return one_line(str(value), 120) if value else None


def _class_id(campaign: dict[str, Any]) -> str | None:
    fingerprint = campaign.get("fingerprint")
    return _text(fingerprint, "class_id") if isinstance(fingerprint, dict) else None
