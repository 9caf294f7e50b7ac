"""What a person pins for the agent: runs/<tag>/pinned.md, one note a line.

Owns    that file, and how much may be pinned
Takes   a person's words, from any process, beside a running night or before one
Gives   the notes; every later brief has them
Never   lets anybody else write there. The agent's own notebook is another file: what a model notes may quote
        a log, and must never pass for what a person said

The file may be edited by hand: a line that is taken out is forgotten, and what a person wrote is never written anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lab.agents.context import PINNED, PINNED_RULE
from lab.agents.fence import visible
from lab.errors import BadInput, CampaignError

PINNED_FILE = "pinned.md"
LOCK_FILE = ".pinned.lock"
MOST_CHARS = 1_000  # of one note, as of one of the model's
MOST_PINNED_CHARS = 6_000  # of all: every brief carries them whole, the shortest too
MOST_READ_BYTES = 8 * MOST_PINNED_CHARS
LOCK_PATIENCE_S = 5.0


def pin_note(folder: Path, text: str) -> None:
    """Pin a person's note into the campaign in `folder`; line breaks become spaces.

    Raises:
        BadInput: it is empty, too long or no text, or no more fits.
        CampaignError: it could not be written; nothing was pinned.
    """
    note = _checked(text)
    try:
        _pin(folder, note)
    except OSError as error:
        raise CampaignError(
            f"the note could not be written to {folder / PINNED_FILE}.",
            why=error.strerror or str(error),
            do="mend that and pin it again; the notes before it are as they were.",
        ) from error


def _pin(folder: Path, note: str) -> None:
    """Add a line below what is there, whatever it is: a person may have written more than a brief carries."""
    with _one_at_a_time(folder):
        written = _read(folder)
        pinned = _notes_in(written)
        if note in pinned:
            return
        below = b"\n" if written and not written.endswith(b"\n") else b""
        more = written + below + note.encode() + b"\n"
        if _notes_in(more) != (*pinned, note):  # a brief would not have it, or not whole
            raise BadInput(
                "no more notes fit.",
                why=f"{len(pinned)} are pinned already, and all together have at most {MOST_PINNED_CHARS} characters.",
                do=f"take lines out of {folder / PINNED_FILE}; this note was not pinned.",
            )
        _write(folder / PINNED_FILE, more)


def read_pinned(folder: Path) -> tuple[str, ...]:
    """The notes of this campaign, oldest first; none when the file cannot be read.

    Cut to what may be pinned, whatever somebody wrote there by hand: the oldest stay.
    """
    try:
        return _notes_in(_read(folder))
    except OSError:
        return ()


def _read(folder: Path) -> bytes:
    """The file as it is, to a byte more than is looked at."""
    try:
        with (folder / PINNED_FILE).open("rb") as file:
            return file.read(MOST_READ_BYTES + 1)
    except FileNotFoundError:
        return b""


def _notes_in(content: bytes) -> tuple[str, ...]:
    notes: list[str] = []
    left = MOST_PINNED_CHARS
    for line in content[:MOST_READ_BYTES].decode("utf-8", "replace").splitlines():
        note = " ".join(visible(line).split())[: min(left, MOST_CHARS)]
        if note:
            notes.append(note)
            left -= len(note)
    return tuple(notes)


def with_notes(program: str, folder: Path) -> str:
    """program.md and the notes below it, for an assistant that asks for the one file that rules it."""
    pinned = "\n".join(f"- {note}" for note in read_pinned(folder))
    return (
        f"{program.rstrip()}\n\n## {PINNED}\n\n{PINNED_RULE}\n\n{pinned}\n" if pinned else program
    )


def _checked(text: str) -> str:
    """The note as it is pinned: one line of characters that can be seen."""
    do = "nothing was pinned."
    if not isinstance(text, str) or any("\ud800" <= c <= "\udfff" for c in text):
        raise BadInput("the note is not text.", why="it does not encode as UTF-8.", do=do)
    note = " ".join(visible(text).split())
    if not note:
        raise BadInput("the note is empty.", why="no character of it can be seen.", do=do)
    if len(note) > MOST_CHARS:
        raise BadInput(
            "the note is too long.",
            why=f"it has {len(note)} characters, and a note has at most {MOST_CHARS}.",
            do=f"shorten it; {do} What holds for every campaign belongs in program.md.",
        )
    return note


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """One who pins at a time. The kernel lets go when a process ends, however it ends."""
    with (folder / LOCK_FILE).open("ab") as lock:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BadInput(
                        "somebody else pins a note at this moment.", do="pin it again."
                    ) from None
                time.sleep(0.02)
        yield


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none of it; a night that reads meanwhile sees the one or the other."""
    draft = path.with_name(f".{path.name}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
