"""What of the experiments' details has room in one file that is sent by mail.

Owns    which details are in it, and what is cut first: log tails, then points of curves, then middles of diffs
Takes   Rows and Details
Gives   Details that fit, and a sentence for the reader about what does not
Never   cuts one experiment where all could be cut alike, or in silence
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from lab.page.payload import pack_details
from lab.story.shapes import Detail, DiffLine, Point, Row

# Above so many experiments the details of some stay in the campaign's folder.
MOST_DETAILS = 300
LATEST = 150  # of those that are always among them

# How much of each is left, one step after the other until everything fits.
LOG_CHARS = (2_000, 1_000, 400)
CURVE_POINTS = (60, 30, 16)
DIFF_LINES = (120, 40, 16)
GAP = "… "

Cut = Callable[[Detail], Detail]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Details in the order of their numbers, and what a reader must know of them."""

    details: tuple[Detail, ...]
    said: tuple[str, ...]  # what was cut; empty when nothing was


def choose(rows: Sequence[Row], most: int = MOST_DETAILS, latest: int = LATEST) -> list[int]:
    """The numbers of the experiments whose details are wanted, in their order.

    All, or the latest and, newest first, those that were kept with the run whose change it is, as far as
    there is room; what then is left goes to the next latest.
    """
    if len(rows) <= most:
        return [row.number for row in rows]
    chosen = {row.number for row in rows[-latest:]}
    kept = [row for row in reversed(rows) if row.ending == "keep"]
    for number in [number for row in kept for number in (row.number, row.original)]:
        if number is not None and len(chosen) < most:
            chosen.add(number)
    for row in reversed(rows):
        if len(chosen) >= most:
            break
        chosen.add(row.number)
    return sorted(chosen)


def fit(details: Sequence[Detail], most_bytes: int) -> Fitted:
    """Cut until all of them take at most `most_bytes` in a page: everybody's logs and curves, the oldest diffs.

    What even then has no room is left out, the oldest first.
    """
    fitted = Fitted(details=tuple(details), said=())
    taken = packed_bytes(details)
    room = float(sum(size_of(detail) for detail in details))
    while taken > most_bytes:
        # They are packed, and what is left packs differently: so this is looked at again.
        room *= 0.97 * most_bytes / taken
        fitted = _cut(details, int(room))
        taken = packed_bytes(fitted.details)
    return fitted


def packed_bytes(details: Sequence[Detail]) -> int:
    """What Details take in a page."""
    return sum(len(pack.text) for pack in pack_details(details))


def _cut(details: Sequence[Detail], most_bytes: int) -> Fitted:
    """Cut until the JSON of all is at most `most_bytes`."""
    stock = _Stock(details)
    said = []
    for steps, cut, words in (
        (LOG_CHARS, _shorten_log, "log tails to their last {:,} characters"),
        (CURVE_POINTS, _thin_curves, "curves to {:,} points each"),
    ):
        done = [step for step in steps if stock.total > most_bytes and stock.cut_all(cut(step))]
        if done:
            said.append(words.format(done[-1]))
    cut_diffs = {
        index
        for step in DIFF_LINES
        for index in range(len(details))
        if stock.total > most_bytes and stock.cut(index, _cut_middle(step))
    }
    if cut_diffs:
        said.append(f"the middles of {_count(len(cut_diffs), 'diff')}, the oldest first")
    dropped = stock.drop(most_bytes)
    if dropped:
        said.append(f"the details of {_count(dropped, 'experiment')}, the oldest first")
    return Fitted(details=tuple(stock.details), said=tuple(said))


class _Stock:
    """Details with the size of each, kept as they are cut."""

    def __init__(self, details: Sequence[Detail]) -> None:
        self.details = list(details)
        self._sizes = [size_of(detail) for detail in details]
        self.total = sum(self._sizes)

    def cut(self, index: int, cut: Cut) -> bool:
        """Cut one; whether that made it smaller."""
        shorter = cut(self.details[index])
        if shorter is self.details[index]:
            return False
        size = size_of(shorter)
        self.total += size - self._sizes[index]
        self.details[index], self._sizes[index] = shorter, size
        return True

    def cut_all(self, cut: Cut) -> bool:
        return sum(self.cut(index, cut) for index in range(len(self.details))) > 0

    def drop(self, most_bytes: int) -> int:
        """Leave out the oldest until the rest fits; how many."""
        count = 0
        while self.details[count:] and self.total > most_bytes:
            self.total -= self._sizes[count]
            count += 1
        self.details, self._sizes = self.details[count:], self._sizes[count:]
        return count


def size_of(detail: Detail) -> int:
    """Bytes of a Detail as JSON."""
    return len(json.dumps(asdict(detail), ensure_ascii=False, separators=(",", ":")).encode()) + 1


def _shorten_log(chars: int) -> Cut:
    def cut(detail: Detail) -> Detail:
        if len(detail.log_tail) <= chars:
            return detail
        tail = detail.log_tail[-chars:]
        whole = tail[tail.find("\n") + 1 :] if "\n" in tail[:-1] else tail
        return replace(detail, log_tail=whole)

    return cut


def _thin_curves(points: int) -> Cut:
    def cut(detail: Detail) -> Detail:
        if max(len(detail.curve), len(detail.parent_curve)) <= points:
            return detail
        return replace(
            detail,
            curve=thin(detail.curve, points),
            parent_curve=thin(detail.parent_curve, points),
        )

    return cut


def thin(curve: tuple[Point, ...], points: int) -> tuple[Point, ...]:
    """At most `points` of a curve, the first and the last among them."""
    if len(curve) <= points:
        return curve
    last = len(curve) - 1
    return tuple(curve[round(step * last / (points - 1))] for step in range(points))


def _cut_middle(lines: int) -> Cut:
    def cut(detail: Detail) -> Detail:
        diff = [line for line in detail.diff if not _is_gap(line)]
        left_out = len(diff) - lines
        if left_out <= 0:
            return detail
        count = detail.diff_cut + left_out
        gap = DiffLine(kind="@", spans=(("", f"{GAP}{count:,} lines are not in this file …"),))
        head, tail = diff[: (lines + 1) // 2], diff[-(lines // 2) :]
        return replace(detail, diff=(*head, gap, *tail), diff_cut=count)

    return cut


def _is_gap(line: DiffLine) -> bool:
    """Whether a line was put in by `_cut_middle`: a line of git's own with that kind begins with @@."""
    return line.kind == "@" and line.spans[:1] != () and line.spans[0][1].startswith(GAP)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
