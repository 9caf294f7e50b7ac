"""What several commands take, and how a command reads its settings and speaks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.settings import Settings, read_settings

Tag = Annotated[str | None, typer.Option(help="Name of the campaign; the same name resumes it.")]
Profile = Annotated[str | None, typer.Option(help="auto, gpu, cpu or smoke.")]
Hours = Annotated[float | None, typer.Option(help="Start no experiment after this many hours.")]
Experiments = Annotated[int | None, typer.Option(help="End after this many candidates.")]
AgentName = Annotated[
    str | None,
    typer.Option(
        help="auto, anthropic, openai, gemini, compatible, command, offline, human or scripted."
    ),
]
Command = Annotated[
    str | None, typer.Option(help="Of AGENT=command: claude, codex, or any of the image.")
]
AgentImage = Annotated[str | None, typer.Option(help="The image that holds the command.")]
Model = Annotated[str | None, typer.Option(help="The provider's model; its default if not given.")]
BaseUrl = Annotated[str | None, typer.Option(help="Of a server that speaks Chat Completions.")]
KeyFile = Annotated[Path | None, typer.Option(help="A file of mode 600 that holds the key.")]
Effort = Annotated[str | None, typer.Option(help="How hard the model thinks, in its own words.")]
Usd = Annotated[float | None, typer.Option(help="What the model may cost in this campaign.")]
Tokens = Annotated[int | None, typer.Option(help="What it may take, in tokens.")]
LookAhead = Annotated[int | None, typer.Option(help="Ideas prepared while an experiment runs.")]
Strategy = Annotated[str | None, typer.Option(help="greedy or tree.")]
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
