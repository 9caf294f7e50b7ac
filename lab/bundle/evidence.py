"""What a payload says of its campaign, read without trust: the facts and the records, and how a check is made.

Owns    how much of a file is read, what a well-formed ledger is, and that bad input is a failed Check
Takes   the data/ folder of an unpacked bundle
Gives   Evidence, and Checks
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from lab.bundle.checks import Check
from lab.errors import LabError
from lab.facts import Facts
from lab.ledger import Record, parse_line

LEVEL = 1
MIB = 2**20
FACTS_CAP_BYTES = 1 * MIB
LEDGER_CAP_BYTES = 64 * MIB
MOST_RECORDS = 10_000  # months of nights; what is derived from each looks at all before it
TEXT_CAP_BYTES = 16 * MIB
MOST_PROBLEMS = 1000
MOST_CHARS = 400

# A check looks, yields what is wrong, and returns what it found to be right.
Findings = Generator[str, None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A campaign as its bundle tells it."""

    payload: Path
    facts: Facts
    records: list[Record]

    def name(self, record: Record) -> str:
        return f"experiment {record.number}"


def look(name: str, findings: Callable[[], Findings], *, level: int = LEVEL) -> Check:
    """One Check: passed where nothing was found wrong; the words are the first problem, or the summary."""
    problems: list[str] = []
    try:
        looking = findings()
        while len(problems) < MOST_PROBLEMS:
            problems.append(next(looking))
    except StopIteration as end:
        words = str(end.value)
    except LabError as error:
        problems.append(f"{error.what} {error.why}".strip())
    except OSError as error:
        file = Path(str(error.filename)).name if error.filename else "a file"
        problems.append(f"{file} cannot be read: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 (what a hostile record makes of our arithmetic is its failure)
        problems.append(f"it cannot be followed: {type(error).__name__}: {str(error)[:200]}")
    if problems:
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        words = problems[0] + more
    return stated(name, passed=not problems, words=words, level=level)


def not_looked_at(name: str, why: str, *, level: int = LEVEL) -> Check:
    return stated(name, passed=None, words=why, level=level)


def stated(name: str, *, passed: bool | None, words: str, level: int = LEVEL) -> Check:
    """A Check whose words may quote a bundle: harmless on one line of a terminal."""
    plain = "".join(c if c.isprintable() else "?" for c in " ".join(words.split()))
    return Check(level=level, name=name, passed=passed, words=plain[:MOST_CHARS])


def read_capped(path: Path, cap_bytes: int) -> bytes:
    """A regular file of at most so many bytes.

    Raises:
        ValueError: it is longer.
        OSError: it is absent, or a link.
    """
    with open_regular(path) as file:
        content = file.read(cap_bytes + 1)
    if len(content) > cap_bytes:
        raise ValueError(f"{path.name} is over {cap_bytes:,} bytes")
    return content


def open_regular(path: Path) -> BufferedReader:
    """A file to read; a link is not followed, and a pipe is not waited for."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def read_chain(content: bytes, anchor: str) -> tuple[list[Record], str | None]:
    """The records of a ledger up to the first line that is not as the lab writes it, and what is wrong there."""
    records: list[Record] = []
    tip = anchor
    *lines, rest = content.split(b"\n")
    if rest:
        return records, "its last line has no end"
    if len(lines) > MOST_RECORDS:
        return records, f"it has {len(lines):,} lines, and {MOST_RECORDS:,} are read"
    for number, line in enumerate(lines, start=1):
        try:
            record, previous = parse_line(line)
            if not _is_canonical(line, record):
                return records, f"line {number} is not written as the lab writes a record"
        except ValueError as error:
            return records, f"line {number} is {str(error)[:200]}"
        if previous != tip:
            first = ", or campaign.json was changed" if number == 1 else ""
            return records, f"line {number} does not follow from the line before it{first}"
        records.append(record)
        tip = hashlib.sha256(line).hexdigest()
    return records, None


def as_json(record: Record) -> dict[str, Any]:
    """A record as it comes back from JSON: tuples are lists, a Status is its text."""
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record), allow_nan=False))
    return fields


def same_json(left: object, right: object) -> bool:
    """Whether two values are the same text of JSON: 1, 1.0 and true are three."""
    return _text(left) == _text(right)


def _is_canonical(line: bytes, record: Record) -> bool:
    """Whether a line is the one text that the lab would write: no spare field, no other type, no other spelling.

    A field that has a default may be absent: an earlier version of the lab did not have it.
    """
    fields = json.loads(line)
    if _text(fields).encode() != line:
        return False
    fields.pop("previous_sha256")
    return _says_the_same(fields, as_json(record))


def _says_the_same(given: Any, whole: Any) -> bool:
    if isinstance(given, dict) and isinstance(whole, dict):
        return all(name in whole and _says_the_same(given[name], whole[name]) for name in given)
    if isinstance(given, list) and isinstance(whole, list):
        pairs = zip(given, whole, strict=False)
        return len(given) == len(whole) and all(_says_the_same(*pair) for pair in pairs)
    return same_json(given, whole)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
