"""What an attack says about itself: the last three lines of its docstring.

    Looks ahead by one token.

    believed: 0.031
    outcome: invalid
    caught by: blind audit

`believed` is the val_bpb that would have been written down had nobody doubted it, on the smoke profile;
`none` where the attack never gets as far as a score.

The files are what they say: several write over, fork or fill whatever they can reach. They run in the
lab's sealed containers and nowhere else, not even to try one out.

Owns    the form of these lines
Takes   a train.py of tests/attacks, which is read and never imported
Gives   a Declared
Never   runs anything
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.outcome import Status

HERE = Path(__file__).parent
ATTACKS = tuple(sorted((HERE / "files").glob("*.py")))
CONTROLS = tuple(sorted((HERE / "controls").glob("*.py")))

FIELDS = ("believed", "outcome", "caught by")

# What there is to catch an attack. A word of its own in a file would be a defence that nobody built.
DEFENCES = frozenset(
    {
        "blind audit",
        "order check",
        "judge (losses)",  # finite, not negative
        "judge (complete)",  # one loss for every target, from a model that is still there
        "judge (shape)",
        "judge (own sums)",  # nothing that is printed, reported or written is read
        "judge (one connection)",
        "host clock",
        "gate protocol",
        "data gate",
        "first seal",
        "checkpoint format",
        "nothing in its files is read",
        "nothing in reach",
        "read-only root",
        "no network",
        "container's end",
        "process cap",
        "memory cap",
        "log cap",
        "failures are a class, not text",
        "static check",
        "confirm re-runs",
        "nothing: it is honest",
    }
)


class Undeclared(ValueError):
    """A file does not say what it is; the message names the file and what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What one file does, what it would gain if it were believed, and what must happen instead."""

    name: str  # of the file, without its ending
    what: str  # one sentence
    believed_bpb: float | None  # None where no score would ever have been written down
    outcome: Status
    caught_by: str


def read_declared(file: Path) -> Declared:
    """The declaration in the docstring of `file`.

    Raises:
        Undeclared: there is no docstring, or a line of it is missing, repeated or malformed.
    """
    lines = _docstring(file).strip().splitlines()
    if len(lines) < len(FIELDS) + 2 or lines[1].strip():
        raise Undeclared(f"{file.name}: a sentence, an empty line, then {', '.join(FIELDS)}.")
    values = dict(_fields(file, lines[-len(FIELDS) :]))
    return Declared(
        name=file.stem,
        what=_sentence(file, lines[0].strip()),
        believed_bpb=_believed(file, values["believed"]),
        outcome=_outcome(file, values["outcome"]),
        caught_by=_defence(file, values["caught by"]),
    )


def _docstring(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    if not docstring:
        raise Undeclared(f"{file.name}: it has no docstring.")
    return docstring


def _sentence(file: Path, line: str) -> str:
    if not line.endswith("."):
        raise Undeclared(f"{file.name}: the first line is one sentence, ended by a full stop.")
    return line


def _fields(file: Path, lines: list[str]) -> Iterator[tuple[str, str]]:
    for wanted, line in zip(FIELDS, lines, strict=True):
        name, colon, value = line.partition(":")
        if name != wanted or not colon or not value.strip():
            raise Undeclared(f"{file.name}: expected `{wanted}: ...`, found {line!r}.")
        yield wanted, value.strip()


def _believed(file: Path, value: str) -> float | None:
    if value == "none":
        return None
    try:
        believed = float(value)
    except ValueError:
        believed = math.nan
    if not math.isfinite(believed):
        raise Undeclared(f"{file.name}: believed is a number or `none`, not {value!r}.")
    return believed


def _outcome(file: Path, value: str) -> Status:
    try:
        return Status(value)
    except ValueError:
        allowed = ", ".join(status.value for status in Status)
        raise Undeclared(f"{file.name}: outcome is one of {allowed}, not {value!r}.") from None


def _defence(file: Path, value: str) -> str:
    if value not in DEFENCES:
        raise Undeclared(f"{file.name}: nothing is called {value!r}; see DEFENCES.")
    return value
