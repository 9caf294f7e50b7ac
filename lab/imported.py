"""Somebody's results.tsv, brought in to be looked at beside campaigns of this lab.

    runs/<tag>/
      imported.json       when, from which file, its sha256
      results.tsv         the file, byte for byte

Owns    which tables are understood, and the folder of one
Takes   a results.tsv of this lab or of the original project: commit, val_bpb, memory_gb, status, description
Gives   Runs, in the order of the file
Never   guesses: a crash that says 0.000000 has no score, and a line that says nothing known is named
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.errors import BadInput, CampaignError
from lab.outcome import Status
from lab.runs import IMPORTED_FILE
from lab.settings import TAG_PATTERN

TABLE_FILE = "results.tsv"
COLUMNS = ("commit", "val_bpb", "memory_gb", "status", "description")
MOST_BYTES = 8 * 2**20
MOST_LINES = 20_000
MOST_LINE_CHARS = 10_000
HOLDOUT_COLUMN = "holdout_bpb"  # of this lab's own tables
AUDITED_COLUMN = "audited"

# The words of the original project, and of this lab; see `ending` in lab/show/results.py.
MEASURED = ("keep", "discard", "baseline", "confirm", "audit", "replay")
FAILED = tuple(status.value for status in Status if status is not Status.MEASURED)
ENDINGS = {"crash": Status.CRASHED.value} | {word: word for word in (*MEASURED, *FAILED)}
_AGAIN = re.compile(r"(re-run|audit) of (\d{1,6}): ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One line of a table."""

    number: int  # from 1, in the order of the file
    commit: str | None
    val_bpb: (
        float | None
    )  # None where it has no score, which a crash of the original project says as 0
    holdout_bpb: float | None
    memory_gb: float | None
    ending: str
    title: str
    original: int | None  # the experiment that it runs again, by this lab's own description
    audited: bool | None  # None in a table without that column, which only this lab's have


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an imported folder says."""

    imported_at: str  # UTC, ISO 8601
    file: str  # its name
    sha256: str
    runs: tuple[Run, ...]


def import_results(runs: Path, file: Path, tag: str | None) -> Path:
    """Bring in a results.tsv as runs/<tag>; without a tag, the file's folder or name gives one.

    Raises:
        BadInput: the file cannot be read or understood, or the tag is taken or no tag. Nothing was written.
        CampaignError: the folder cannot be written.
    """
    content = _read(file)
    read_table(content, file.name)
    name = _tag_of(runs, file) if tag is None else tag
    if not TAG_PATTERN.fullmatch(name):
        raise BadInput(
            f"{name!r} is no tag.",
            why="a tag is 1 to 40 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit.",
            do="give another with TAG=.",
        )
    folder = runs / name
    facts = {
        "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "file": file.name.encode("utf-8", "replace").decode(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    # Written beside its place: a folder with that name is whole, and nobody else's.
    draft = runs / f".{name}.{os.getpid()}.import"
    try:
        draft.mkdir(parents=True)
        (draft / TABLE_FILE).write_bytes(content)
        (draft / IMPORTED_FILE).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
        if folder.exists():
            raise BadInput(
                f"there is a campaign {name} already.",
                why=f"{folder} exists, and what is in it stays as it is.",
                do="give another name with TAG=; nothing was written.",
            )
        draft.rename(folder)
    except OSError as error:
        raise CampaignError(
            f"{folder} cannot be written.",
            why=error.strerror or str(error),
            do="free some disk, or give another TAG; nothing was imported.",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def read_imported(folder: Path) -> Imported:
    """What was imported into a folder.

    Raises:
        CampaignError: it was altered, or cannot be read.
    """
    try:
        facts: Any = json.loads((folder / IMPORTED_FILE).read_bytes())
        content = (folder / TABLE_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise ValueError(f"{TABLE_FILE} is not the file that was imported")
        return Imported(
            imported_at=str(facts["imported_at"]),
            file=str(facts["file"]),
            sha256=str(facts["sha256"]),
            runs=read_table(content, TABLE_FILE),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, BadInput) as error:
        raise CampaignError(
            f"what was imported into {folder} cannot be read.",
            why=str(error).splitlines()[0],
            do="delete the folder and import the file again.",
        ) from error


def read_table(content: bytes, name: str) -> tuple[Run, ...]:
    """The lines of a table.

    Raises:
        BadInput: it is no such table; the text names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = content[: error.start].count(b"\n") + 1
        raise _bad(name, f"line {place} is not UTF-8.", "save it as UTF-8") from error
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if len(lines) > MOST_LINES:
        raise _bad(name, f"it has over {MOST_LINES} lines.", "import a part of it")
    header = [column.strip() for column in lines[0].split("\t")]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise _bad(
            name,
            f"its first line names no column {', '.join(missing)}.",
            "its first line must be " + ", ".join(COLUMNS) + ", with a tab between each two",
        )
    found: list[Run] = []
    for place, line in enumerate(lines[1:], start=2):
        if line.strip():
            try:
                found.append(_run(header, line, len(found) + 1))
            except ValueError as error:
                raise _bad(name, f"line {place}: {error}.", "correct that line") from error
    if not found:
        raise _bad(name, "it has no experiment.", "import it when it has one")
    return tuple(found)


def _run(header: list[str], line: str, number: int) -> Run:
    if len(line) > MOST_LINE_CHARS:
        raise ValueError(f"it is longer than {MOST_LINE_CHARS} characters")
    cells = line.split("\t")
    if len(cells) < len(header):
        raise ValueError(f"it has {len(cells)} of {len(header)} columns")
    cell = dict(zip(header, (text.strip() for text in cells), strict=False))
    status = cell["status"].lower()
    if status not in ENDINGS:
        raise ValueError(f"its status is {cell['status'][:40]!r}; known are {', '.join(ENDINGS)}")
    title, original = cell["description"], None
    again = _AGAIN.match(title) if status != "baseline" else None
    if again and 0 < int(again[2]) < number:
        title, original = title[again.end() :], int(again[2])
    score = _above_zero(cell["val_bpb"], "val_bpb")
    return Run(
        number=number,
        commit=cell["commit"] or None,
        val_bpb=score if ENDINGS[status] in MEASURED else None,
        holdout_bpb=_above_zero(cell.get(HOLDOUT_COLUMN, ""), HOLDOUT_COLUMN),
        memory_gb=_above_zero(cell["memory_gb"], "memory_gb"),
        ending=ENDINGS[status],
        title=title,
        original=original,
        audited=cell[AUDITED_COLUMN] == "true" if AUDITED_COLUMN in cell else None,
    )


def _above_zero(text: str, name: str) -> float | None:
    """A number; None for an empty cell and for 0, which says of a crash that nothing was measured."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"its {name} is {text[:40]!r}")
    return value or None


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(
            f"{file} cannot be read.",
            why=error.strerror or str(error),
            do="name a results.tsv; nothing was written.",
        ) from error
    if len(content) > MOST_BYTES:
        raise _bad(file.name, f"it is larger than {MOST_BYTES >> 20} MiB.", "import a part of it")
    return content


def _tag_of(runs: Path, file: Path) -> str:
    """A free tag that reminds of the file: of its folder where the file is called as all are."""
    source = file.resolve()
    words = source.parent.name if source.name == TABLE_FILE else source.stem
    stem = re.sub(r"[^a-z0-9._-]+", "-", words.lower()).strip("-._")[:30] or "imported"
    tag, count = stem, 1
    while (runs / tag).exists():
        count += 1
        tag = f"{stem}-{count}"
    return tag


def _bad(name: str, why: str, do: str) -> BadInput:
    return BadInput(
        f"{name} is not a results.tsv that can be imported.",
        why=why,
        do=f"{do}; nothing was written.",
    )
