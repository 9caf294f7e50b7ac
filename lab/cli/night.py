"""`lab overnight`, and what a person runs by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.options import (
    AgentImage,
    AgentName,
    BaseUrl,
    Command,
    Cpus,
    Effort,
    Experiments,
    Hours,
    KeyFile,
    LookAhead,
    Model,
    NoiseRuns,
    Profile,
    Script,
    Seed,
    Strategy,
    Tag,
    Tokens,
    Usd,
    say,
    settings_of,
)
from lab.settings import CHECKOUT

app = typer.Typer()


@app.command()
def overnight(
    tag: Tag = None,
    hours: Hours = None,
    experiments: Experiments = None,
    profile: Profile = None,
    agent: AgentName = None,
    command: Command = None,
    agent_image: AgentImage = None,
    model: Model = None,
    base_url: BaseUrl = None,
    key_file: KeyFile = None,
    effort: Effort = None,
    usd: Usd = None,
    tokens: Tokens = None,
    lookahead: LookAhead = None,
    strategy: Strategy = None,
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
            command=command,
            agent_image=agent_image,
            model=model,
            base_url=base_url,
            key_file=key_file,
            effort=effort,
            usd=usd,
            tokens=tokens,
            lookahead=lookahead,
            strategy=strategy,
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
def audit(
    number: Annotated[
        int | None, typer.Argument(help="An experiment; the best one if none is named.")
    ] = None,
    tag: Tag = None,
    cpus: Cpus = None,
) -> None:
    """Audit an experiment blindly: can its claim be reproduced without the answers? Exit 1 if not."""
    from lab.byhand import audit_by_hand

    record = audit_by_hand(settings_of(tag=tag, cpus=cpus), number, say)
    raise typer.Exit(0 if record.trial.audit and record.trial.audit.passed else 1)


@app.command()
def noise(
    file: Annotated[Path, typer.Argument(help="A train.py.")] = CHECKOUT / "workspace/train.py",
    runs: Annotated[int, typer.Option(min=2, help="How often to run it.")] = 5,
    tag: Tag = None,
    profile: Profile = None,
    seed: Seed = None,
    cpus: Cpus = None,
) -> None:
    """Measure how much seeds alone move the score here; later campaigns begin with it."""
    from lab.byhand import measure_noise

    measure_noise(settings_of(tag=tag, profile=profile, seed=seed, cpus=cpus), file, runs, say)
