"""`lab --help`: every command, each a thin call of the module that does it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lab.errors import LabError
from lab.settings import Settings, read_settings

app = typer.Typer(
    name="lab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A laboratory in a box for autonomous research on small language models.",
)
image_app = typer.Typer(no_args_is_help=True, help="Build, check and pin the frozen image.")
engine_app = typer.Typer(no_args_is_help=True, help="The container engine of this host.")
app.add_typer(image_app, name="image")
app.add_typer(engine_app, name="engine")

Tag = Annotated[str | None, typer.Option(help="Name of the campaign; the same name resumes it.")]
Profile = Annotated[str | None, typer.Option(help="auto, gpu, cpu or smoke.")]
Hours = Annotated[float | None, typer.Option(help="Start no experiment after this many hours.")]
Experiments = Annotated[int | None, typer.Option(help="End after this many candidates.")]
AgentName = Annotated[str | None, typer.Option(help="auto, offline or scripted.")]
Script = Annotated[Path | None, typer.Option(help="Folder of replies of the scripted agent.")]
Seed = Annotated[
    int | None, typer.Option(help="Every random choice of the campaign follows from it.")
]
NoiseRuns = Annotated[int | None, typer.Option(help="How often the baseline is run.")]
Variant = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Kernels = Annotated[str | None, typer.Option(help="hub, or none to use PyTorch's own attention.")]
Cpus = Annotated[
    float | None, typer.Option(help="Cores that a container may use; all if not given.")
]


def say(line: str) -> None:
    """One line for the person who waits for the set-up."""
    print(f"lab: {line}", flush=True)


def settings_of(**given: Any) -> Settings:
    return read_settings(os.environ, **given)


@app.command()
def overnight(
    tag: Tag = None,
    hours: Hours = None,
    experiments: Experiments = None,
    profile: Profile = None,
    agent: AgentName = None,
    script: Script = None,
    seed: Seed = None,
    noise_runs: NoiseRuns = None,
    cpus: Cpus = None,
) -> None:
    """Research by itself until a limit, Ctrl-C, or the agent's last idea. Sets up all it needs."""
    from lab.overnight import overnight as run_night

    run_night(
        settings_of(
            tag=tag,
            hours=hours,
            experiments=experiments,
            profile=profile,
            agent=agent,
            script=script,
            seed=seed,
            noise_runs=noise_runs,
            cpus=cpus,
        ),
        say,
    )


@app.command()
def smoke(cpus: Cpus = None) -> None:
    """The whole loop on a tiny budget: two baselines, four candidates, a few minutes."""
    from lab.smoke import smoke as run_smoke

    run_smoke(settings_of(cpus=cpus), say)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A train.py.")],
    tag: Tag = None,
    profile: Profile = None,
    seed: Seed = None,
    cpus: Cpus = None,
) -> None:
    """Run one train.py by hand, once, and print its score."""
    from lab.byhand import run_by_hand

    run_by_hand(settings_of(tag=tag, profile=profile, seed=seed, cpus=cpus), file, say)


@app.command()
def status(
    tag: Tag = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show a campaign: the one named, else the latest."""
    from lab.campaign import find_campaign, is_running
    from lab.show.status import as_json, describe

    folder = find_campaign(settings_of().runs, tag)
    if json:
        print(as_json(folder, running=is_running(folder)))
    else:
        Console().print(describe(folder, running=is_running(folder)))


@app.command()
def data(profile: Profile = None, variant: Variant = None, kernels: Kernels = None) -> None:
    """Fetch and tokenise the data of a profile, once."""
    from lab.setup import set_up

    with set_up(
        settings_of(profile=profile, variant=variant, kernels=kernels), campaign="data", say=say
    ) as ready:
        say(f"data of the {ready.bench.profile.name} profile: {ready.bench.data}")


def main() -> None:
    """The program `lab`. Every error of the lab itself ends here, with its exit code."""
    try:
        app()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
