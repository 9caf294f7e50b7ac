"""`lab report`: one file that tells a campaign to somebody who has no lab.

Owns    report.html, and when it and the pictures beside it are replaced
Takes   a campaign's folder, running, ended or imported; reads only
Gives   files that are whole at any moment, the same bytes for the same records
Never   asks a clock, a network or this host: every time and name in it is one of the records
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from lab.errors import BadInput, CampaignError
from lab.page.shell import report_page
from lab.parquet import replacing
from lab.redaction import without_secrets
from lab.report.card import draw_card, marks_of_rows
from lab.report.drawing import CARD_FILE, PROGRESS_FILE, REPORT_FILE
from lab.report.fitting import MOST_DETAILS, choose, fit
from lab.show.chart import draw_scene
from lab.show.scene import scene_of
from lab.show.words import one_line
from lab.story.reading import Tale
from lab.story.shapes import Detail, DiffLine, Fact, Point, Story

# A mail server takes this from anybody. The details of a long campaign get some room beyond it: its table alone
# may be as large.
MOST_BYTES = 1_950_000
LEAST_FOR_DETAILS = 1_000_000

MEANWHILE_DETAILS = 50  # while a night runs: a second of reading, not six

Value = TypeVar("Value")


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of a campaign, and its pictures beside it; with `output`, the page alone, there.

    Returns where the page is.

    Raises:
        BadInput: there is no such folder to write to.
        CampaignError: the campaign cannot be read, or the files cannot be written. What was there is untouched.
    """
    place = _place_of(folder, output)
    made = make(Tale.open(folder))
    wanted = {place: made.pop(REPORT_FILE)}
    if output is None:
        wanted |= {folder / name: content for name, content in made.items()}
    _write(wanted)
    return place


def write_all(folder: Path, *, ended: bool) -> None:
    """Pictures and report of a night that holds the campaign; see `write_report`.

    Until it has ended the next experiment trains meanwhile, so little time is taken: few details are read.
    """
    tale = Tale.open(folder)
    if ended:
        tale.running = False  # who waits for this still holds the campaign
    made = make(tale, most_details=MOST_DETAILS if ended else MEANWHILE_DETAILS)
    _write({folder / name: content for name, content in made.items()})


def make(tale: Tale, *, most_details: int = MOST_DETAILS) -> dict[str, bytes]:
    """The files of a report by name."""
    story = cleaned(tale.story())
    progress = draw_scene(
        scene_of(marks_of_rows(story.rows), story.standing), title=title_of(story)
    )
    details = [cleaned(rounded(tale.detail(number))) for number in choose(story.rows, most_details)]
    return {
        PROGRESS_FILE: progress,
        CARD_FILE: draw_card(story),
        REPORT_FILE: page_of(story, details, progress).encode("utf-8", "replace"),
    }


def page_of(story: Story, details: Sequence[Detail], progress_png: bytes) -> str:
    """The page with as much of the details as has room, and a line that says what has none."""
    room = MOST_BYTES - len(report_page(story, (), progress_png=progress_png).encode())
    fitted = fit(details, max(room, LEAST_FOR_DETAILS))
    said = list(fitted.said)
    if len(details) < len(story.rows):
        said.insert(
            0, f"the details of all but {len(details):,} of {len(story.rows):,} experiments"
        )
    if said:
        line = Fact(
            name="Left out of this file",
            value=f"To keep it small: {'; '.join(said)}. The campaign's folder has everything.",
        )
        story = replace(story, facts=(*story.facts, line))
    return report_page(story, fitted.details, progress_png=progress_png)


def title_of(story: Story) -> str:
    """The campaign's name, profile and hardware, for the head of the picture."""
    parts = (story.tag, story.profile, story.hardware)
    return "  ·  ".join(one_line(part, 60) for part in parts if part)


def rounded(detail: Detail) -> Detail:
    """With curves as exact as an eye can see: half of what a float's digits would take."""
    return replace(
        detail,
        curve=tuple(_rounded(point) for point in detail.curve),
        parent_curve=tuple(_rounded(point) for point in detail.parent_curve),
    )


def _rounded(point: Point) -> Point:
    loss = None if point.loss is None else round(point.loss, 4)
    return replace(point, train_s=round(point.train_s, 2), loss=loss)


def cleaned(value: Value) -> Value:
    """The same without anything that looks like a key, in whatever text it stands."""
    return cast("Value", _cleaned(value))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, DiffLine):
        return _cleaned_line(value)
    if isinstance(value, tuple):
        return tuple(_cleaned(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type | Point):
        return replace(
            value, **{field.name: _cleaned(getattr(value, field.name)) for field in fields(value)}
        )
    return value


def _cleaned_line(line: DiffLine) -> DiffLine:
    """A key may be several tokens to a highlighter: the line is looked at whole, and then has one colour."""
    text = "".join(text for _, text in line.spans)
    clean = without_secrets(text)
    return line if clean == text else replace(line, spans=(("", clean),))


def _place_of(folder: Path, output: Path | None) -> Path:
    if output is None:
        return folder / REPORT_FILE
    place = output / REPORT_FILE if output.is_dir() else output
    if not place.parent.is_dir():
        raise BadInput(
            f"the report cannot be written to {output}.",
            why=f"there is no folder {place.parent}.",
            do="make it, or give another OUTPUT=; nothing was written.",
        )
    return place


def _write(contents: dict[Path, bytes]) -> None:
    for path, content in contents.items():
        try:
            with replacing(path) as draft:
                draft.write_bytes(content)
        except OSError as error:
            raise CampaignError(
                f"{path} could not be written.",
                why=error.strerror or str(error),
                do="free some disk, or give another place with OUTPUT=, and run `make report` again; no "
                "record is touched by this, and what was there before is as it was.",
            ) from error
