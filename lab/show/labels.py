"""Where the labels of a chart go, so that none lies on another.

Owns    the geometry, in pixels, y upwards
Takes   anchors with the size of each label, and what should rather not be covered
Gives   a Box for each label, or None where no place is free
Never   draws
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Where a label may stand, seen from its anchor, best first. The running best falls to the right, so
# the space under it, to the left, is empty; above it, to the right, are the discards.
_DIRECTIONS = ((-1, -1), (1, 1), (0, -1), (-1, 0), (1, -1), (0, 1), (1, 0), (-1, 1))
_DISTANCES = (9.0, 18.0, 30.0, 44.0, 62.0, 84.0, 110.0, 140.0)

# Costs, in pixels of distance that one would walk to avoid it.
_COVERS_A_MARK = 24.0
_WORSE_DIRECTION = 4.0

# Between two labels; side by side they need more room, or they read as one sentence.
_GAP_X, _GAP_Y = 14.0, 3.0


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: Box, *, gap_x: float = 0.0, gap_y: float = 0.0) -> bool:
        return (
            self.x0 < other.x1 + gap_x
            and other.x0 < self.x1 + gap_x
            and self.y0 < other.y1 + gap_y
            and other.y0 < self.y1 + gap_y
        )

    def contains(self, other: Box) -> bool:
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and other.x1 <= self.x1
            and other.y1 <= self.y1
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the box that is nearest to (x, y)."""
        return min(max(x, self.x0), self.x1), min(max(y, self.y0), self.y1)

    def meets(self, line: Line) -> bool:
        """Whether a straight line enters the box, by clipping the line to it (Liang and Barsky)."""
        dx, dy = line.x1 - line.x0, line.y1 - line.y0
        enter, leave = 0.0, 1.0
        for step, room in (
            (-dx, line.x0 - self.x0),
            (dx, self.x1 - line.x0),
            (-dy, line.y0 - self.y0),
            (dy, self.y1 - line.y0),
        ):
            if step == 0.0:
                if room < 0.0:
                    return False
            elif step < 0.0:
                enter = max(enter, room / step)
            else:
                leave = min(leave, room / step)
        return enter < leave


@dataclass(frozen=True, slots=True)
class Line:
    """From (x0, y0) to (x1, y1): the leader between a label and what it names."""

    x0: float
    y0: float
    x1: float
    y1: float

    def crosses(self, other: Line) -> bool:
        return (
            _side(self, other.x0, other.y0) * _side(self, other.x1, other.y1) < 0
            and _side(other, self.x0, self.y0) * _side(other, self.x1, self.y1) < 0
        )


def _side(line: Line, x: float, y: float) -> float:
    return (line.x1 - line.x0) * (y - line.y0) - (line.y1 - line.y0) * (x - line.x0)


@dataclass(frozen=True, slots=True)
class Wish:
    """A label that wants a place: the point that it names, and its own size."""

    x: float
    y: float
    width: float
    height: float


def place(
    wishes: Sequence[Wish], *, frame: Box, solid: Sequence[Box], soft: Sequence[Box]
) -> list[Box | None]:
    """A place for each label, in the order given: the first chooses freely.

    A placed label lies inside `frame`, on no other label, on no other's leader and on nothing
    `solid`; what is `soft` is avoided where that is cheap.
    """
    placed: list[Box | None] = []
    taken: list[Box] = []
    leaders: list[Line] = []
    for wish in wishes:
        best: tuple[float, Box] | None = None
        for distance, box in _candidates(wish):
            if best and distance >= best[0]:
                break  # nearest first: no later one can cost less
            leader = leader_of(wish.x, wish.y, box)
            if not frame.contains(box) or _collides(box, leader, taken, leaders, solid):
                continue
            cost = distance + _COVERS_A_MARK * sum(box.overlaps(mark) for mark in soft)
            if best is None or cost < best[0]:
                best = cost, box
        placed.append(best[1] if best else None)
        if best:
            taken.append(best[1])
            leaders.append(leader_of(wish.x, wish.y, best[1]))
    return placed


def leader_of(x: float, y: float, box: Box) -> Line:
    """The shortest line from an anchor to its label."""
    return Line(x, y, *box.nearest(x, y))


def _candidates(wish: Wish) -> list[tuple[float, Box]]:
    """Every place that is looked at, nearest first, with what its distance costs."""
    found = []
    for distance in _DISTANCES:
        for rank, (right, up) in enumerate(_DIRECTIONS):
            reach = distance / math.hypot(right, up)
            x = wish.x + right * (reach + wish.width / 2)
            y = wish.y + up * (reach + wish.height / 2)
            box = Box(
                x - wish.width / 2, y - wish.height / 2, x + wish.width / 2, y + wish.height / 2
            )
            found.append((distance + rank * _WORSE_DIRECTION, box))
    return sorted(found, key=lambda candidate: candidate[0])


def _collides(
    box: Box, leader: Line, taken: Sequence[Box], leaders: Sequence[Line], solid: Sequence[Box]
) -> bool:
    return (
        any(box.overlaps(other, gap_x=_GAP_X, gap_y=_GAP_Y) for other in taken)
        or any(box.overlaps(other) for other in solid)
        or any(box.meets(other) or leader.crosses(other) for other in leaders)
        or any(other.meets(leader) for other in taken)
    )
