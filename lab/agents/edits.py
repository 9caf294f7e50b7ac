"""Search/replace blocks: how a model changes a file without writing it anew.

Owns    when a block fits
Takes   a text and blocks, in order
Gives   the changed text, or EditDoesNotFit with what to do; never half of the blocks
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

SHOWN_CHARS = 160


class Block(BaseModel):
    """Replace a text that stands exactly once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    find: str
    replace: str


class EditDoesNotFit(Exception):
    """A block names no place, or more than one; the text says which block and what to do."""


def apply_blocks(text: str, blocks: Sequence[Block]) -> str:
    """Every block in order, each applied to what the ones before it left.

    Raises:
        EditDoesNotFit: a block's `find` is empty or does not stand exactly once.
    """
    for position, block in enumerate(blocks, start=1):
        find, replace = block.find, block.replace
        if "\r" not in text:  # some models end lines the other way; the file does not
            find, replace = find.replace("\r\n", "\n"), replace.replace("\r\n", "\n")
        if not find:
            raise EditDoesNotFit(
                f"block {position}: `find` is empty. Copy the lines that the new text goes beside."
            )
        places = find_all(text, find)
        if len(places) != 1:
            raise EditDoesNotFit(f"block {position}: {_why_not(text, find, places)}")
        text = text[: places[0]] + replace + text[places[0] + len(find) :]
    return text


def find_all(text: str, find: str) -> list[int]:
    """Where `find` begins in `text`, overlapping places included."""
    places, start = [], text.find(find)
    while start >= 0:
        places.append(start)
        start = text.find(find, start + 1)
    return places


def _why_not(text: str, find: str, places: Sequence[int]) -> str:
    if places:
        lines = ", ".join(str(text.count("\n", 0, place) + 1) for place in places[:8])
        return (
            f"`find` stands {len(places)} times in the draft (lines {lines}), not once. "
            "Add lines around it until it is the only one."
        )
    return f"`find` does not stand in the draft. {_nearest(text, find)}"


def _nearest(text: str, find: str) -> str:
    """Where the first telling line of `find` may have been meant."""
    wanted = next((line.strip() for line in find.splitlines() if line.strip()), "")
    lines = [line.strip() for line in text.splitlines()]
    if wanted in lines:
        number = lines.index(wanted) + 1
        return (
            f"Its first line is line {number}, so a later line or the indentation differs: "
            "read that part again and copy it exactly."
        )
    near = difflib.get_close_matches(wanted[:400], lines, n=1, cutoff=0.6)
    if near:
        number = lines.index(near[0]) + 1
        return f"The nearest line is {number}: {near[0][:SHOWN_CHARS]}. Copy it exactly."
    return "Read the draft again with read_file; earlier edits may have changed that part."
