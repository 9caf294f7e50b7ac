"""A stranger's bundle that passed levels 0 and 1: what a replay may run, and a comparison may show.

Owns    that nothing of a bundle is used before its records were checked
Takes   a file
Gives   its payload, for as long as the block lasts
Never   runs anything of it
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lab.bundle.decisions import check_records
from lab.bundle.unpacked import opened
from lab.errors import BadRecords


@contextlib.contextmanager
def received(file: Path) -> Iterator[Path]:
    """The payload of a bundle, unpacked and checked.

    Raises:
        BadInput: there is no such file.
        BadBundle: it did not pass level 0.
        BadRecords: its records do not follow from each other.
    """
    with opened(file) as bundle:
        failed = [check for check in check_records(bundle.payload) if check.passed is False]
        if failed:
            raise BadRecords(
                f"the records of {file} do not follow from each other, so nothing of it is used.",
                why=f"{failed[0].name}: {failed[0].words}",
                do="`lab verify` shows every check; ask the sender for the bundle again.",
            )
        yield bundle.payload
