"""Earlier experiments as lines of a table, for a reader who pays for every word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from lab.agents.fence import one_line
from lab.prompt import Past

Which = Literal["all", "kept", "near", "worse", "failed"]
Order = Literal["oldest", "newest", "best score", "largest gain"]

HEADER = "number | outcome | val_bpb | gain | title"
REASON_CHARS = 120


def outcome_of(past: Past) -> str:
    """What came of an experiment, in one word or two."""
    if past.kind == "baseline":
        return "baseline" if past.val_bpb is not None else past.status
    if past.kept:
        return "kept"
    if past.status != "measured" or past.gain_bpb is None:
        return past.status
    return "near" if past.gain_bpb > 0 else "worse"


def row(past: Past, *, title_chars: int = 120) -> str:
    """One experiment in one line; what has no score says why."""
    score = f"{past.val_bpb:.4f}" if past.val_bpb is not None else ""
    gain = f"{past.gain_bpb:+.4f}" if past.gain_bpb is not None else ""
    line = f"{past.number} | {outcome_of(past)} | {score} | {gain} | {one_line(past.title, title_chars)}"
    if past.val_bpb is None and past.reason:
        line += f" | {one_line(past.reason, min(REASON_CHARS, title_chars))}"
    return line


def choose(history: Iterable[Past], which: Which, *, contains: str = "") -> list[Past]:
    """The experiments with that outcome whose title, hypothesis or reason holds the text, any case."""
    wanted = contains.casefold().strip()
    return [
        past
        for past in history
        if _is(past, which)
        and wanted in f"{past.title}\n{past.hypothesis}\n{past.reason}".casefold()
    ]


def in_order(history: Sequence[Past], order: Order) -> list[Past]:
    """Sorted; what has no score or no gain comes last where these decide."""
    by_number = sorted(history, key=lambda past: past.number)
    match order:
        case "newest":
            return by_number[::-1]
        case "best score":
            return sorted(by_number, key=lambda p: (p.val_bpb is None, p.val_bpb or 0.0))
        case "largest gain":
            return sorted(by_number, key=lambda p: (p.gain_bpb is None, -(p.gain_bpb or 0.0)))
    return by_number


def _is(past: Past, which: Which) -> bool:
    outcome = outcome_of(past)
    if which == "failed":
        return outcome not in ("baseline", "kept", "near", "worse")
    return which in ("all", outcome)
