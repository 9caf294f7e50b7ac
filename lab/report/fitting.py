"""What of the experiments' details has room in one file that is sent by mail.

Owns    which details are in it, and what is cut first: log tails, then points of curves, then middles of diffs
Takes   Rows and Details
Gives   Details that fit, and a sentence for the reader about what does not
Never   cuts in silence
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lab.page.payload import pack_details
from lab.story.shapes import Detail, DiffLine, Point, Row

# Above so many experiments the details of some stay in the campaign's folder.
MOST_DETAILS = 300

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


def choose(rows: Sequence[Row], most: int = MOST_DETAILS) -> list[int]:
    """The numbers of the experiments whose details are wanted, in their order.

    All of them, or: half of `most` for the latest; then, newest first, each that was kept with the run whose
    change it is, as far as there is room; then the next latest.
    """
    if len(rows) <= most:
        return [row.number for row in rows]
    chosen = {row.number for row in rows[-(most // 2) :]}
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
    left = list(details)
    for cut, alike in _steps():
        if packed_bytes(left) <= most_bytes:
            break
        shorter = [cut(detail) for detail in left]
        count = len(left)
        if not alike:
            count = _fewest(shorter, left, most_bytes)
        left = [*shorter[:count], *left[count:]]
    dropped = _fewest((), left, most_bytes)
    left = left[dropped:]
    return Fitted(details=tuple(left), said=tuple(_what_was_cut(details, left)))


def packed_bytes(details: Sequence[Detail]) -> int:
    """What Details take in a page."""
    return sum(len(pack.text) for pack in pack_details(details))


def _steps() -> Iterator[tuple[Cut, bool]]:
    """What is cut, one after the other, and whether it is cut in all of them alike."""
    yield from ((_shorten_log(chars), True) for chars in LOG_CHARS)
    yield from ((_thin_curves(points), True) for points in CURVE_POINTS)
    yield from ((_cut_middle(lines), False) for lines in DIFF_LINES)


def _fewest(shorter: Sequence[Detail], left: Sequence[Detail], most_bytes: int) -> int:
    """For how many of the oldest must their `shorter` stand until everything fits; all, if it never does."""

    def fits(count: int) -> bool:
        return packed_bytes([*shorter[:count], *left[count:]]) <= most_bytes

    if fits(0):
        return 0
    low, high = 1, len(left)
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    return high


def _what_was_cut(details: Sequence[Detail], left: Sequence[Detail]) -> Iterator[str]:
    dropped = len(details) - len(left)
    pairs = list(zip(details[dropped:], left, strict=True))
    if any(short.log_tail != whole.log_tail for whole, short in pairs):
        longest = max(len(short.log_tail) for _, short in pairs)
        limit = min(chars for chars in LOG_CHARS if chars >= longest)  # whole lines are left
        yield f"log tails to their last {limit:,} characters"
    if any(len(short.curve) < len(whole.curve) for whole, short in pairs):
        yield f"curves to {max(len(short.curve) for _, short in pairs):,} points each"
    if count := sum(short.diff_cut > whole.diff_cut for whole, short in pairs):
        yield f"the middles of {_count(count, 'diff')}, the oldest first"
    if dropped:
        yield f"the details of {_count(dropped, 'experiment')}, the oldest first"


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
