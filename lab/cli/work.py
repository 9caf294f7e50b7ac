"""What the host needs, and what this checkout proves and measures."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lab.cli.options import Kernels, Profile, Variant, say, settings_of

app = typer.Typer()


@app.command()
def data(profile: Profile = None, variant: Variant = None, kernels: Kernels = None) -> None:
    """Fetch and tokenise the data of a profile, once."""
    from lab.setup import set_up

    with set_up(
        settings_of(profile=profile, variant=variant, kernels=kernels), campaign="data", say=say
    ) as ready:
        say(f"data of the {ready.bench.profile.name} profile: {ready.bench.data}")


@app.command()
def doctor(profile: Profile = None, variant: Variant = None, kernels: Kernels = None) -> None:
    """Every precondition, with its state and its remedy; exit 0 only if the main job can run."""
    from lab.doctor import draw, examine, exit_code

    checks = examine(settings_of(profile=profile, variant=variant, kernels=kernels))
    Console().print(draw(checks))
    raise typer.Exit(exit_code(checks))


@app.command()
def test() -> None:
    """All tests: on the host with real containers, then inside the frozen image."""
    from lab.bench import run_tests

    raise typer.Exit(run_tests(settings_of(), say))


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; all if none.")] = None,
) -> None:
    """Measure: each benchmark prints a table and, as its last line, one JSON object."""
    from lab.bench import run_benchmarks

    raise typer.Exit(run_benchmarks(settings_of(), names or [], say))


@app.command()
def attacks() -> None:
    """Every known cheat against the lab, and honest controls: a table, and one JSON object as its last line."""
    from lab.bench import run_attacks

    raise typer.Exit(run_attacks())
