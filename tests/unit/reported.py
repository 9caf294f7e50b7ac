"""Campaigns with the files that a report reads: changes, curves and logs as large as real ones."""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Sequence
from pathlib import Path

from lab import parquet
from lab.ledger import CANDIDATE, Record
from lab.settings import CHECKOUT
from tests.unit.nights import make_night
from tests.unit.stories import many, tell

SEED_PY = (CHECKOUT / "workspace" / "train.py").read_text().splitlines(keepends=True)
CHANGED_LINES = 24  # of a change, in four places: a large one
CURVE_ROWS = 600
LOG_LINES = 120


def make_reported(folder: Path, count: int) -> Path:
    """A night of so many experiments, with the files of each."""
    night = make_night(count)
    tell(folder, night)
    add_files(folder, night)
    return folder


def make_long(folder: Path, count: int) -> Path:
    """Very many experiments, with the files of the last few hundred."""
    tell(folder, [])
    (folder / "ledger.jsonl").write_bytes(b"".join(many(count)))
    for number in range(max(1, count - 400), count + 1):
        add_file(folder, number, draw=random.Random(number))
    return folder


def add_files(folder: Path, records: Sequence[Record]) -> None:
    """Every candidate's change, and what each run printed."""
    for record in records:
        draw = random.Random(record.number)
        add_file(folder, record.number, draw=draw, changes=record.kind == CANDIDATE)


def add_file(folder: Path, number: int, *, draw: random.Random, changes: bool = True) -> None:
    place = folder / "experiments" / f"{number:04d}"
    place.mkdir(parents=True)
    if changes:
        (place / "change.diff").write_text(_diff(draw))
    losses = [9.0 * math.exp(-row / 200) + 3.2 + draw.gauss(0.0, 0.05) for row in range(CURVE_ROWS)]
    parquet.write_parquet(
        place / "curve.parquet",
        {
            "step": parquet.Column(type="int64", values=list(range(CURVE_ROWS))),
            "train_s": parquet.Column(
                type="double", values=[row * 0.5 + draw.random() / 9 for row in range(CURVE_ROWS)]
            ),
            "loss_nats": parquet.Column(type="double", values=losses),
        },
    )
    (place / "train.log").write_text(
        "".join(
            f"step {row:5d} | loss {losses[row]:.4f} | {draw.uniform(8e4, 9e4):.0f} tokens/s | {row / 6:.0f}%\n"
            for row in range(CURVE_ROWS - LOG_LINES, CURVE_ROWS)
        )
    )


def _diff(draw: random.Random) -> str:
    changed = list(SEED_PY)
    for _ in range(4):
        first = draw.randrange(len(changed) - 10)
        for line in range(first, first + CHANGED_LINES // 4):
            indent = changed[line][: len(changed[line]) - len(changed[line].lstrip())]
            changed[line] = (
                f"{indent}value_{draw.randrange(10**6)} = scale * {draw.random():.4f}  # tuned\n"
            )
    return "".join(difflib.unified_diff(SEED_PY, changed, "a/train.py", "b/train.py"))
