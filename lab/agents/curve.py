"""The loss curve that a train.log tells: what a program claims of itself, as numbers.

The lines are those of `prepare.report`; a train.py that prints others has no curve, and one that prints false
ones deceives nobody but the reader of its curve: no decision uses it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINE = re.compile(
    r"^step (\d{1,9}) \| loss (\d{1,6}\.\d{1,6}) \| ([\d,]{1,15}) tok/s(?: \|[^|\n]{0,40})*? \| (\d{1,3})%$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Point:
    """One report."""

    step: int
    loss: float  # nats a token, of one training step
    tokens_per_s: int
    percent: int  # of the time budget


def read_curve(log: str) -> list[Point]:
    """Every report of a log, in order."""
    return [
        Point(
            int(step),
            float(loss),
            int(speed.replace(",", "") or 0),
            int(percent),
        )
        for step, loss, speed, percent in _LINE.findall(log)
    ]


def curve_lines(points: Sequence[Point], *, most: int = 20) -> str:
    """At most `most` points, evenly over the curve, the first and the last included."""
    if len(points) > most:
        last = len(points) - 1
        points = [points[round(i * last / (most - 1))] for i in range(most)]
    return "\n".join(
        f"{p.percent:3d} % of the time, step {p.step}, loss {p.loss:.4f}, {p.tokens_per_s:,} tok/s"
        for p in points
    )
