"""`lab engine`."""

from __future__ import annotations

import typer

from lab.cli.options import say, settings_of

app = typer.Typer(no_args_is_help=True, help="The container engine of this host.")


@app.callback()
def engine() -> None:
    """The container engine of this host."""


@app.command("stop")
def engine_stop() -> None:
    """Stop the engine that `lab` started in the background; any other is left alone."""
    from lab.engine import stop_engine

    say("engine stopped" if stop_engine(settings_of()) else "no engine of ours runs")
