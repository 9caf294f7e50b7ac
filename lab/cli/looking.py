"""One experiment of a campaign, and somebody else's results beside it."""

from __future__ import annotations

import dataclasses
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from lab.cli.options import Tag, say, settings_of
from lab.errors import BadInput

if TYPE_CHECKING:
    from lab.story.reading import Tale
    from lab.story.shapes import DiffLine, Row

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="For programs: one object, full precision.")]
Best = Annotated[int | None, typer.Argument(help="An experiment; the best one if none is named.")]
Last = Annotated[int | None, typer.Argument(help="An experiment; the last one if none is named.")]


@app.command()
def show(number: Best = None, tag: Tag = None, json: Json = False) -> None:
    """Show an experiment: its score and verdict, why it was tried, how it went."""
    from lab.cli.drawing import draw_experiment

    tale = _open(tag)
    row = _row(tale, tale.best_experiment if number is None else number)
    detail = tale.detail(row.number)
    if json:
        _print_json(tale, dataclasses.asdict(row) | dataclasses.asdict(detail))
    else:
        Console().print(draw_experiment(tale.story(), row, detail))


@app.command()
def diff(number: Best = None, tag: Tag = None, json: Json = False) -> None:
    """Show what an experiment changed in train.py; of a re-run, what its candidate changed."""
    from lab.cli.drawing import draw_diff

    tale = _open(tag)
    _refuse_imported(tale, "no code")
    row = _row(tale, tale.best_experiment if number is None else number)
    while row.original is not None:
        row = _row(tale, row.original)
    detail = tale.detail(row.number)
    if json:
        fields = {
            "number": row.number,
            "title": row.title,
            "parent": detail.parent,
            "lines": [_plain(line) for line in detail.diff],
            "lines_left_out": detail.diff_cut,
        }
        _print_json(tale, fields)
        return
    if not detail.diff:
        raise BadInput(
            f"experiment {row.number} of {tale.tag} has no change to show.",
            why=_why_no_change(row),
            do="name a candidate; `make status` lists them.",
        )
    for line in draw_diff(tale.story(), row, detail):
        _print_line(line)


@app.command()
def log(number: Last = None, tag: Tag = None, json: Json = False) -> None:
    """Show the end of what an experiment's train.py printed."""
    tale = _open(tag)
    _refuse_imported(tale, "no logs")
    rows = tale.rows_since(0)
    row = _row(tale, number if number is not None else rows[-1].number if rows else None)
    tail = tale.detail(row.number).log_tail
    if json:
        _print_json(tale, {"number": row.number, "title": row.title, "log_tail": tail})
        return
    for line in tail.rstrip("\n").split("\n") if tail else ["it printed nothing"]:
        _print_line(Text(line))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A results.tsv, of this lab or the original one.")],
    tag: Tag = None,
) -> None:
    """Bring in somebody's results.tsv, to look at it beside campaigns of this lab."""
    from lab.imported import import_results
    from lab.story.reading import Tale

    settings = settings_of(tag=tag)
    folder = import_results(settings.runs, file, settings.tag)
    say(f"imported as {folder.name}: `lab status --tag {folder.name}` shows it")
    for sentence in Tale.open(folder).story().sentences:
        say(sentence)


def status_of_imported(folder: Path, *, json: bool) -> None:
    """What `lab status` says of an imported table."""
    from lab.cli.drawing import draw_imported
    from lab.story.reading import Tale

    tale = Tale.open(folder)
    story = tale.story()
    if json:
        rows = [dataclasses.asdict(row) for row in story.rows]
        fields = dataclasses.asdict(story.standing) | {"imported": True, "running": False}
        _print_json(tale, fields | {"experiments": rows})
    else:
        print_uncut(draw_imported(story))


def print_uncut(shown: RenderableType) -> None:
    """Print what fits itself to its place: to a terminal's columns; where there is none, every title is whole."""
    from lab.show.view import UNCUT_COLUMNS

    console = Console()
    if not console.is_terminal:
        console = Console(width=UNCUT_COLUMNS)
    console.print(shown)


def _open(tag: str | None) -> Tale:
    from lab.runs import find_to_look
    from lab.story.reading import Tale

    settings = settings_of(tag=tag)
    return Tale.open(find_to_look(settings.runs, settings.tag))


def _row(tale: Tale, number: int | None) -> Row:
    """The Row of experiment `number`.

    Raises:
        BadInput: there is no such experiment, or none at all.
    """
    if number is None:
        rows = tale.rows_since(0)
        if any(row.val_bpb is not None for row in rows):
            raise BadInput(
                f"{tale.tag} has no best experiment.",
                why="the best is the baseline or what was kept over it, and it has neither.",
                do=f"name one of 1 to {len(rows)}.",
            )
        raise BadInput(
            f"{tale.tag} has no {'measured ' if rows else ''}experiment yet.",
            do="name one by its number." if rows else "wait for the first one to end.",
        )
    return tale.row(number)


def _why_no_change(row: Row) -> str:
    if row.kind == "baseline":
        return "it is the baseline."
    if row.commit is None:
        return "it never became code."
    return f"its change.diff is not in the campaign's folder, or empty; its commit is {row.commit[:12]}."


def _refuse_imported(tale: Tale, what: str) -> None:
    if tale.imported is not None:
        raise BadInput(
            f"{tale.tag} was imported, and an imported table holds {what}.",
            do=f"`lab show N --tag {tale.tag}` shows what it says.",
        )


def _plain(line: DiffLine) -> dict[str, str]:
    return {"kind": line.kind, "text": "".join(text for _, text in line.spans)}


def _print_json(tale: Tale, fields: dict[str, Any]) -> None:
    print(dumps({"tag": tale.tag} | fields, indent=2))


def _print_line(line: Text) -> None:
    """A line as it is, however long: what is piped on must not be broken by the width of a terminal."""
    Console().print(line, soft_wrap=True)
