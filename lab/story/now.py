"""What a running night does at this moment, as a file that anybody may read beside it.

Owns    runs/<tag>/now.json, and when it means nothing
Takes   a Now, from the one controller that holds the campaign
Gives   the Now, or None
Never   waits for the disk: it is worth a second, so nothing is synced and a power cut may tear it
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from lab.runs import held_since, is_running
from lab.story.shapes import Now, Point

NOW_FILE = "now.json"
# One name is enough: one controller holds a campaign, and one thread of it writes.
_DRAFT = ".now.json"
OLD_S = 60  # it is written once a second: by then a disk is full, or an engine hangs
OLD_STEP_S = 30  # an age that changes at each look would be news at each look
AT_STEP_S = 0.001  # `at` is cut to it
MOST_BYTES = 256 * 1024  # of what is read; a Now at its limits has about 60 KiB

_NOW = TypeAdapter(Now)


def write_now(folder: Path, now: Now) -> None:
    """Replace `folder`/now.json in one step.

    Raises:
        OSError: it could not be written. The one before it stands, or none.
    """
    draft = folder / _DRAFT
    fields = dataclasses.asdict(_finite(now))
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        draft.write_bytes(text.encode("utf-8", "replace"))  # a log may hold half a character
        draft.replace(folder / NOW_FILE)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(
                missing_ok=True
            )  # half of it on a full disk would hold what the night needs
        raise


def read_now(folder: Path) -> Now | None:
    """What the night in `folder` does, with `old_s` where that is not of this moment.

    None when no controller holds it, or its file is torn, not there, or of a controller before.
    """
    try:
        with (folder / NOW_FILE).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES or not is_running(folder):
            return None
        now = _NOW.validate_json(content)
        written = datetime.fromisoformat(now.at).timestamp()
        if written + AT_STEP_S < held_since(folder):
            return None
    except (OSError, ValueError, OverflowError):
        return None
    age_s = datetime.now(UTC).timestamp() - written
    return dataclasses.replace(
        now, old_s=int(age_s // OLD_STEP_S * OLD_STEP_S) if age_s >= OLD_S else None
    )


def remove_now(folder: Path) -> None:
    """Take the file away; a disk that refuses leaves it, and without a controller it means nothing."""
    for name in (_DRAFT, NOW_FILE):
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _finite(now: Now) -> Now:
    """The same without infinities and NaN, which train.py may claim and JSON does not have."""
    return dataclasses.replace(
        now,
        fraction=_number(now.fraction),
        loss=_number(now.loss),
        tokens_per_s=_number(now.tokens_per_s),
        curve=tuple(
            Point(train_s=point.train_s, step=point.step, loss=_number(point.loss))
            for point in now.curve
        ),
        telemetry={name: value for name, value in now.telemetry.items() if math.isfinite(value)},
    )


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
