"""`lab verify`: is this bundle whole, does it follow from itself, and do its weights score what it says?

Owns    the order of the levels, the words of the verdict, and the error of each level
Takes   a stranger's file; the settings, where its weights are to be scored
Gives   one line a check, and a verdict
Never   goes on to a level when the one below failed
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.bundle.checks import Check
from lab.bundle.unpacked import opened
from lab.errors import BadBundle, BadRecords, BadWeights
from lab.host import Say
from lab.settings import Settings
from lab.show.words import one_line

_MARKS = {True: "ok", False: "FAILED", None: "?"}


def verify(
    settings: Settings, file: Path, *, signers: Path | None, weights: bool, say: Say
) -> list[Check]:
    """Check a bundle at levels 0 and 1, and with `weights` at level 2.

    Raises:
        BadInput: there is no such file.
        BadBundle: level 0 failed.
        BadSigner: `signers` are named, and none of them signed it.
        BadRecords: level 1 failed.
        BadWeights: level 2 failed.
    """
    from lab.bundle.decisions import check_records

    try:
        with opened(file, signers=signers) as bundle:
            checks = [*bundle.checks]
            show(checks, say)
            found = check_records(bundle.payload)
            show(found, say)
            refuse_failed(found, BadRecords, "do not follow from its records")
            checks += found
            if weights:
                from lab.bundle.rescore import rescore

                found = rescore(settings, bundle.payload, say)
                show(found, say)
                refuse_failed(found, BadWeights, "are not what its weights score here")
                checks += found
    except BadBundle as error:
        show([Check(level=0, name=error.check, passed=False, words=error.words)], say)
        raise
    return checks


def verify_file(file: Path, *, signers: Path | None, say: Say) -> list[Check]:
    """Level 0 alone: the file, whatever its records say. Raises as `verify` does."""
    try:
        with opened(file, signers=signers) as bundle:
            show(bundle.checks, say)
            return [*bundle.checks]
    except BadBundle as error:
        show([Check(level=0, name=error.check, passed=False, words=error.words)], say)
        raise


def show(checks: Sequence[Check], say: Say) -> None:
    for check in checks:
        say(f"{check.level} {_MARKS[check.passed]:<6} {check.name:<14} {one_line(check.words)}")


def refuse_failed(checks: Sequence[Check], kind: type[BadRecords | BadWeights], what: str) -> None:
    failed = [check for check in checks if check.passed is False]
    if failed:
        raise kind(
            f"this bundle's claims {what}.",
            why="; ".join(f"{check.name}: {check.words}" for check in failed[:3]),
            do="do not build on it; show the sender these lines.",
        )


def verdict(checks: Sequence[Check]) -> str:
    """What the checks came to, in one sentence; none of them failed."""
    unseen = [check.name for check in checks if check.passed is None]
    # The weights were scored only if every check of theirs could be made.
    level = max(check.level for check in checks if check.level < 2 or _all_known(checks, level=2))
    meaning = (
        "the file is whole",
        "the file is whole and its decisions follow from its records",
        "the file is whole, its decisions follow from its records, and its weights score what it claims",
    )[level]
    rest = f"; not known: {', '.join(unseen)}" if unseen else ""
    return f"verdict: {meaning}{rest}"


def _all_known(checks: Sequence[Check], *, level: int) -> bool:
    return all(check.passed for check in checks if check.level == level)
