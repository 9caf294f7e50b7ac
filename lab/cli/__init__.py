"""`lab --help`: every command, each a thin call of the module that does it."""

from __future__ import annotations

import io
import sys

import typer

from lab.cli import campaign, engine, image, looking, night, sharing, work
from lab.errors import LabError

app = typer.Typer(
    name="lab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A laboratory in a box for autonomous research on small language models.",
)
for commands in (night, campaign, looking, sharing, work):
    app.add_typer(commands.app)
app.add_typer(image.app, name="image")
app.add_typer(engine.app, name="engine")


def main() -> None:
    """The program `lab`. Every error of the lab itself ends here, with its exit code."""
    # Titles hold any character, and a terminal or a pipe of another encoding must not end a command. stderr
    # writes what it cannot encode as an escape already.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
