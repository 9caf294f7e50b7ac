"""Every choice a user can make, validated in one place; the only module that reads the environment.

A setting is given as `--hours 8`, as `HOURS=8` on a make line, or as `NIGHTLAB_HOURS=8` in the environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.profiles import PROFILES, Profile
from lab.errors import BadInput

CHECKOUT = Path(__file__).resolve().parent.parent
PREFIX = "NIGHTLAB_"
KEY_NAMES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "COMPATIBLE_API_KEY")
TAG_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class Settings(BaseModel):
    """One frozen set of choices. `auto` is settled by what the host has, when the campaign opens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The campaign: its name, and what ends the night. Both limits may be absent.
    tag: str | None = None
    hours: Annotated[float, Field(gt=0)] | None = 8.0
    experiments: Annotated[int, Field(ge=0)] | None = (
        None  # candidates of this call, baselines not counted
    )

    profile: Literal["auto", "gpu", "cpu", "smoke"] = "auto"
    agent: Literal[
        "auto",
        "offline",
        "scripted",
        "human",
        "command",
        "anthropic",
        "openai",
        "gemini",
        "compatible",
    ] = "auto"
    script: Path | None = None  # folder of replies of the scripted agent
    # An assistant's CLI in a jail: `claude`, `codex`, or any command of the image.
    command: str | None = None
    agent_image: str | None = None  # None builds the one of compose/agent/assistants
    # With nothing handed in, or a model's provider silent, for so long, the offline agent proposes; a silent assistant
    # is started again.
    patience_s: Annotated[float, Field(gt=0)] = 600.0
    # A model that researches: which one, how it is reached, and what it may cost in a campaign.
    model: str | None = None  # None takes the provider's current default
    base_url: str | None = None  # of a server that speaks Chat Completions
    key_file: Path | None = None  # mode 600; wins over the environment
    effort: str | None = None  # how hard it thinks, in the provider's own words
    tools: bool = True  # False: a server that cannot call tools is asked in plain text
    prices: Path | None = None  # USD per million tokens, over the built-in table
    usd: Annotated[float, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(gt=0)] | None = None
    # Of one request: the largest prompt, and the largest answer with its thought; None takes the lab's own.
    prompt_tokens: Annotated[int, Field(ge=4_000)] | None = None
    answer_tokens: Annotated[int, Field(ge=1_000)] | None = None
    keys: dict[str, str] = Field(default_factory=dict, repr=False, exclude=True)

    # Ideas that a model prepares while an experiment runs.
    lookahead: Annotated[int, Field(ge=0, le=8)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    noise_runs: Annotated[int, Field(ge=2)] | None = None  # None takes the profile's own

    # The rule of keep and discard; what each does stands in lab/verdict.py, and how they were chosen in
    # benchmarks/decision_quality.py.
    screen_sd: Annotated[float, Field(ge=0)] = 1.6
    confirm_error: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    hope_sd: Annotated[float, Field(ge=0)] = 0.7
    clear_margins: Annotated[float, Field(ge=1)] = 2.0
    most_reruns: Annotated[int, Field(ge=1, le=10)] = 3
    tie_error: Annotated[float, Field(gt=0, lt=0.5)] = 0.16
    bpb_per_line: Annotated[float, Field(ge=0)] = 0.00005
    memory_share: Annotated[float, Field(gt=0, lt=1)] = 0.1

    # A run whose GPU was throttled for more than this share of its training time is run again; why and for which
    # reasons stands in lab/samples.py.
    throttled_share: Annotated[float, Field(ge=0, le=1)] = 0.05

    # The search: where a candidate starts, and after how many the best is tried without one of its changes; 0 is
    # never. What they do stands in lab/strategy.py, and how they were chosen in benchmarks/strategies.py.
    strategy: Literal["greedy", "tree"] = "greedy"
    ablate_every: Annotated[int, Field(ge=0)] = 20

    # What opens the live page where it listens beyond loopback; None makes one and keeps it in `state`.
    dashboard_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{32,}$")] | None = Field(
        default=None, repr=False, exclude=True
    )

    # The host.
    docker_host: str | None = None  # None tries the usual sockets
    install_engine: bool = True
    variant: Literal["auto", "cpu", "cuda"] = "auto"
    kernels: Literal["hub", "none"] = "hub"
    base: Literal["auto", "registry", "mmdebstrap"] = "auto"
    hub_mirror: str | None = None  # another endpoint that speaks the Hugging Face hub's protocol
    parquet: Path | None = None  # folder of local climbmix shards, instead of downloading
    shards: Annotated[int, Field(ge=1)] | None = None  # climbmix shards to train on; None takes ten
    cpus: Annotated[float, Field(gt=0)] | None = None  # None gives a container every core
    min_free_bytes: int = 2 * 2**30  # a night does not start an experiment with less disk than this

    program: Path = CHECKOUT / "program.md"
    train_file: Path = CHECKOUT / "workspace" / "train.py"
    runs: Path = CHECKOUT / "runs"
    data: Path = CHECKOUT / "data"
    state: Path = (
        CHECKOUT / ".nightlab"
    )  # wheels, base image, engine log and pid file; safe to delete

    @field_validator("tag")
    @classmethod
    def _tag_is_a_plain_name(cls, tag: str | None) -> str | None:
        if tag is not None and not TAG_PATTERN.fullmatch(tag):
            raise ValueError(
                "a tag is 1 to 40 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit"
            )
        return tag

    @field_validator("*", mode="before")
    @classmethod
    def _empty_means_not_given(cls, value: object) -> object:
        return None if value == "" else value


def read_settings(environ: Mapping[str, str], **given: object) -> Settings:
    """Settings from the environment, overridden by what was given on the command line.

    Raises:
        BadInput: a value cannot be used; the message names the setting.
    """
    values: dict[str, object] = {
        name: environ[PREFIX + name.upper()]
        for name in Settings.model_fields
        if name != "keys" and environ.get(PREFIX + name.upper())
    }
    if "docker_host" not in values and environ.get("DOCKER_HOST"):
        values["docker_host"] = environ["DOCKER_HOST"]
    values["keys"] = {name: environ[name] for name in KEY_NAMES if environ.get(name)}
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise BadInput(
            f"the setting {name.upper()} cannot be {first['input']!r}.",
            why=first["msg"].removeprefix("Value error, "),
            do=f"change --{name.replace('_', '-')} (or {name.upper()}=) and start again; nothing was changed.",
        ) from error


def profile_of(settings: Settings, *, has_gpu: bool) -> Profile:
    """The profile to use: the one asked for, else `gpu` where there is an NVIDIA GPU, else `cpu`."""
    if settings.profile != "auto":
        return PROFILES[settings.profile]
    return PROFILES["gpu" if has_gpu else "cpu"]
