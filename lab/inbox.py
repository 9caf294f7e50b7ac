"""What comes from outside, a person or an assistant over MCP, waits here until the night runs it.

    runs/<tag>/inbox/
      000012.json           waits; its number is the ticket
      refused/000011.json   could not be run when its turn came, and why
      last                  the highest number ever given

Owns    that folder: the order, and how much may wait
Takes   Submissions, from any number of processes; and what the night has written down
Gives   a ticket at once, and the oldest Submission to the one controller that runs the campaign
Never   touches another file of the campaign, and never makes the controller wait: it takes no lock

A Submission is on the disk before its ticket is given. It is gone from here only when an experiment has
it, which shows in files that outlive any crash: the night writes proposal.json, with the ticket among the
proposal's facts, before it runs anything. Killed between the two, nothing is lost and nothing runs twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lab.contract import ContractBroken, check

FOLDER = "inbox"
TICKET_FACT = "ticket"  # in Proposal.facts and Record.facts: a ticket, in digits

# A person reads what waits, and a night runs about a hundred experiments.
MOST_WAITING = 32
MOST_TITLE = 120
MOST_HYPOTHESIS = 2000
MOST_EDITS = 64

LOCK_PATIENCE_S = 5.0
_FILE = re.compile(r"(\d{6,})\.json")


Repeats = Callable[
    [str], str | None
]  # why a train.py is not run, as it was tried; None when it is new


def nothing_repeats(train_py: str) -> str | None:
    """A Repeats for whom everything is new."""
    return None


class Refused(Exception):
    """It cannot be run; `reason` tells its author what to change."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace a text that stands exactly once in the best train.py."""

    find: str
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One idea from outside."""

    title: str  # one line
    hypothesis: str
    train_py: str  # the whole file, edits applied to the best of that time
    edits: tuple[Edit, ...] = ()  # applied again if another file is the best when its turn comes
    author: str  # "human", or "mcp" with the client's name
    again: bool = False  # its author knows that it was tried
    ticket: int = 0  # given by `submit`
    submitted_at: str = ""  # UTC, ISO 8601; given by `submit`


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ticket is."""

    state: str  # "waiting", "taken", "refused" or "unknown"
    ahead: int = 0  # of those that wait, how many come first
    experiment: int | None = None  # the last one that ran or runs it
    reason: str = ""  # why it was refused


_SUBMISSION = TypeAdapter(Submission)


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """A file with every edit made, in their order.

    Raises:
        Refused: a text to find is empty, or does not stand exactly once.
    """
    for number, edit in enumerate(edits, start=1):
        count = text.count(edit.find) if edit.find else 0
        if count != 1:
            raise Refused(
                f"edit {number}: its `find` is empty."
                if not edit.find
                else f"edit {number}: the text {edit.find[:120]!r} stands {count} times in the best train.py"
                " (with the edits before it made), not once. "
                + (
                    "Give more lines around it."
                    if count
                    else "Read train.py again and copy exactly."
                )
            )
        text = text.replace(edit.find, edit.replace)
    return text


class Inbox:
    """The inbox of one campaign. It holds nothing open."""

    def __init__(self, campaign_folder: Path) -> None:
        self._campaign = campaign_folder
        self._folder = campaign_folder / FOLDER
        self._refused = self._folder / "refused"

    def submit(
        self,
        submission: Submission,
        *,
        best: str | None = None,
        repeats: Repeats = nothing_repeats,
    ) -> int:
        """Put a Submission in line; its ticket. It is on the disk when this returns.

        `best` is the file that the next proposal starts from, where it is known.

        Raises:
            Refused: it breaks the contract, changes nothing, was tried, waits already, or too many wait.
        """
        _check(submission, best, repeats)
        self._refused.mkdir(parents=True, exist_ok=True)
        with self._locked():
            waiting = self._waiting()
            if len(waiting) >= MOST_WAITING:
                raise Refused(
                    f"{MOST_WAITING} submissions wait already; submit after some have run."
                )
            for ticket in waiting:
                if (other := self._read(ticket)) and other.train_py == submission.train_py:
                    raise Refused(f"the same train.py waits already, with ticket {ticket}.")
            ticket = self._new_ticket(waiting)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            whole = replace(submission, ticket=ticket, submitted_at=now)
            _write(self._path(ticket), asdict(whole))
        return ticket

    def next(self, best: str, repeats: Repeats = nothing_repeats) -> Submission | None:
        """The oldest Submission that no experiment has, as a file to be run on top of `best`; None if none.

        It stays in line until the night has written it down, so asking twice gives the same. What was tried by
        somebody since it was handed in is refused, too.
        """
        waiting = self._waiting()
        taken = self._taken() if waiting else {}
        for ticket in waiting:
            if ticket in taken:
                self._path(ticket).unlink(missing_ok=True)
                continue
            try:
                return self._ready(ticket, best, repeats)
            except Refused as refused:
                self._refuse(ticket, refused.reason)
        return None

    def place(self, ticket: int) -> Place:
        """Where a ticket is, as the files of this moment say."""
        waiting = self._waiting()
        if number := self._taken().get(ticket):
            return Place("taken", experiment=number)
        if ticket in waiting:
            return Place("waiting", ahead=waiting.index(ticket))
        try:
            reason = json.loads((self._refused / f"{ticket:06d}.json").read_bytes())["reason"]
        except (OSError, ValueError, KeyError, TypeError):
            return Place("unknown")
        return Place("refused", reason=str(reason))

    def last(self) -> int:
        """The highest ticket ever given; 0 before the first."""
        try:
            return int((self._folder / "last").read_bytes())
        except (OSError, ValueError):
            return 0

    def waiting(self) -> list[int]:
        """The tickets in line that no experiment has, oldest first."""
        waiting = self._waiting()
        taken = self._taken() if waiting else {}
        return [ticket for ticket in waiting if ticket not in taken]

    def _ready(self, ticket: int, best: str, repeats: Repeats) -> Submission:
        submission = self._read(ticket)
        if submission is None:
            raise Refused("its file in the inbox cannot be read.")
        if submission.edits:
            try:
                submission = replace(submission, train_py=apply_edits(best, submission.edits))
            except Refused as refused:
                raise Refused(f"the best train.py has changed since: {refused.reason}") from None
        _check(submission, best, repeats)
        return submission

    def _waiting(self) -> list[int]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for name in names if (match := _FILE.fullmatch(name)))

    def _taken(self) -> dict[int, int]:
        """The last experiment of every ticket that has one: those in the ledger, and the one under way."""
        taken: dict[int, int] = {}
        try:
            lines = (self._campaign / "ledger.jsonl").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            lines = []
        for line in lines:
            if f'"{TICKET_FACT}"'.encode() in line:
                _note(taken, _fields(line))
        under_way = self._campaign / "experiments" / f"{len(lines) + 1:04d}" / "proposal.json"
        with contextlib.suppress(OSError):
            fields = _fields(under_way.read_bytes())
            _note(taken, fields | {"facts": fields.get("proposal", {}).get("facts", {})})
        return taken

    def _read(self, ticket: int) -> Submission | None:
        try:
            return _SUBMISSION.validate_json(self._path(ticket).read_bytes())
        except (OSError, ValidationError):
            return None

    def _refuse(self, ticket: int, reason: str) -> None:
        self._refused.mkdir(parents=True, exist_ok=True)
        _write(self._refused / f"{ticket:06d}.json", {"ticket": ticket, "reason": reason})
        self._path(ticket).unlink(missing_ok=True)

    def _new_ticket(self, waiting: Sequence[int]) -> int:
        last = self._folder / "last"
        try:
            given = int(last.read_bytes())
        except (OSError, ValueError):  # the first, or torn by hand: never a number that is in use
            refused = [int(path.stem) for path in self._refused.glob("*.json")]
            given = max([0, *waiting, *refused, *self._taken()])
        # First the number, then the file: a kill between the two wastes a number and never gives one twice.
        _write(last, given + 1)
        return given + 1

    def _path(self, ticket: int) -> Path:
        return self._folder / f"{ticket:06d}.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One who submits at a time. The kernel lets go when a process ends, however it ends."""
        with (self._folder / "lock").open("ab") as lock:
            deadline = time.monotonic() + LOCK_PATIENCE_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Refused("the inbox is busy; submit again.") from None
                    time.sleep(0.02)
            yield


def _check(submission: Submission, best: str | None, repeats: Repeats) -> None:
    title = submission.title
    if not title.strip() or len(title) > MOST_TITLE or not title.isprintable():
        raise Refused(f"the title must be one line of 1 to {MOST_TITLE} printable characters.")
    if len(submission.hypothesis) > MOST_HYPOTHESIS:
        raise Refused(f"the hypothesis must have at most {MOST_HYPOTHESIS} characters.")
    if any("\ud800" <= character <= "\udfff" for character in submission.hypothesis):
        raise Refused("the hypothesis holds a character that is not valid UTF-8 text.")
    if len(submission.edits) > MOST_EDITS:
        raise Refused(f"at most {MOST_EDITS} edits; send the whole file instead.")
    try:
        check(submission.train_py)
    except ContractBroken as broken:
        raise Refused(broken.reason) from None
    if best is not None and submission.train_py == best:
        raise Refused("it is the best train.py without a change.")
    if not submission.again and (tried := repeats(submission.train_py)):
        raise Refused(tried)


def _note(taken: dict[int, int], fields: dict[str, Any]) -> None:
    facts = fields.get("facts")
    ticket = facts.get(TICKET_FACT) if isinstance(facts, dict) else None
    if fields.get("kind") == "candidate" and isinstance(ticket, str) and ticket.isdecimal():
        taken[int(ticket)] = int(fields["number"])


def _fields(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except ValueError:  # torn by a power cut: the night itself goes on as if it were not there
        return {}
    return fields if isinstance(fields, dict) else {}


def _write(path: Path, content: object) -> None:
    """Write a whole file or none of it, and wait until it and its name are on the disk."""
    # One name is enough, for a folder has one writer at a time: those who submit hold the lock, and what
    # is refused has a folder of its own, which is the controller's.
    draft = path.with_name(".draft")
    with draft.open("wb") as file:
        file.write(json.dumps(content, ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
