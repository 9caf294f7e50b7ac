"""Which agent to use, settled before the night's set-up, opened when its campaign is.

A model that cannot be asked (no key, no such setting) is found out here, before anything is built or run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.agents import Agent
from lab.agents.asking import Surroundings
from lab.agents.command import COMMANDS, CommandAgent
from lab.agents.human import HumanAgent
from lab.agents.model import ModelAgent
from lab.agents.offline import OfflineAgent
from lab.agents.providers import Usage
from lab.agents.providers.address import is_loopback
from lab.agents.providers.open import (
    KINDS,
    check_address,
    first_with_key,
    open_provider,
    read_key_file,
)
from lab.agents.providers.prices import PRICES, cost_usd, read_prices
from lab.agents.room import limits_of
from lab.agents.scripted import ScriptedAgent
from lab.agents.spending import Caps
from lab.errors import BadInput
from lab.inbox import Inbox
from lab.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What an agent is given by the night that it works in."""

    around: Surroundings
    inbox: Inbox
    transcripts: Path  # a folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An agent that can be opened."""

    name: str
    line: str  # for the terminal: which agent works tonight, and why that one
    open: Callable[[Workplace], Agent]


def choose_agent(settings: Settings) -> Chosen:
    """The agent that was asked for; `auto` takes the server at BASE_URL, else the first provider with a key,
    else what needs none.

    Raises:
        BadInput: it cannot be opened with these settings.
    """
    if settings.agent == "scripted":
        scripted = ScriptedAgent(settings.script)
        return Chosen(
            name=scripted.name,
            line=f"agent: scripted, replies from {settings.script}",
            open=lambda _: scripted,
        )
    if settings.agent == "human":
        return Chosen(
            name=HumanAgent.name,
            line="agent: human; it runs what `lab submit` and MCP clients hand in",
            open=lambda work: HumanAgent(work.inbox, work.around.stop),
        )
    if settings.agent == "command":
        return _choose_command(settings)
    provider = _first_in_reach(settings) if settings.agent == "auto" else settings.agent
    if provider in KINDS:
        return _choose_model(settings, provider)
    why = "no provider's key is set" if settings.agent == "auto" else "no key, no network"
    offline = OfflineAgent(seed=settings.seed)
    return Chosen(
        name=offline.name,
        line=f"agent: offline ({why}), a seeded catalogue of mutations",
        open=lambda _: offline,
    )


def _first_in_reach(settings: Settings) -> str | None:
    """The provider that `auto` takes. A key goes to nobody but the one that it is of, so none is guessed.

    Raises:
        BadInput: there is a key whose provider nobody named.
    """
    if settings.key_file is not None:
        raise BadInput(
            "KEY_FILE does not say whose key it holds.",
            why="AGENT=auto could send it to another provider.",
            do=f"name the AGENT too: {', '.join(KINDS)}.",
        )
    return "compatible" if settings.base_url else first_with_key(settings.keys)


def _choose_command(settings: Settings) -> Chosen:
    if not settings.command:
        raise BadInput(
            "AGENT=command needs a COMMAND.",
            do=f"COMMAND={' or '.join(COMMANDS)}, or any command of AGENT_IMAGE; README has an example.",
        )
    for name in ("usd", "tokens", "model", "effort", "key_file"):
        if getattr(settings, name) is not None:
            raise BadInput(
                f"{name.upper()} cannot be kept with AGENT=command.",
                why="the lab does not see what the assistant asks its model.",
                do="use the command's own option for it, or a key with a limit; keys come from the environment.",
            )
    if settings.base_url is not None:
        check_address(settings.base_url)
        if settings.base_url.startswith("https:") and is_loopback(settings.base_url):
            raise BadInput(
                "AGENT=command reaches a server of this host over plain http only.",
                why="its certificate would be checked in a container that does not know it.",
                do="set BASE_URL to the server's address with http, or run it on a host with a name.",
            )
    stand_in = OfflineAgent(seed=settings.seed)
    return Chosen(
        name="command",
        line=f"agent: command, in a jail: {settings.command}",
        open=lambda work: CommandAgent(
            work.inbox, work.around, patience_s=settings.patience_s, stand_in=stand_in
        ),
    )


def _choose_model(settings: Settings, name: str) -> Chosen:
    provider = open_provider(
        name,
        keys=settings.keys,
        model=settings.model,
        key_file=settings.key_file,
        base_url=settings.base_url,
        effort=settings.effort,
        tools=settings.tools,
    )
    secrets = list(settings.keys.values())
    if settings.key_file is not None:
        secrets.append(read_key_file(settings.key_file))
    table = read_prices(settings.prices) if settings.prices is not None else PRICES

    def price(usage: Usage) -> float | None:
        return cost_usd(provider.model, usage, table)

    caps = Caps(usd=settings.usd, tokens=settings.tokens)
    limit = f", at most {settings.usd:g} USD" if settings.usd is not None else ""
    why = "as you asked"
    if settings.agent == "auto":
        why = "the server at BASE_URL" if settings.base_url else "the first with a key"

    def open_model(work: Workplace) -> Agent:
        return ModelAgent(
            provider,
            price=price,
            caps=caps,
            limits=limits_of(
                prompt_tokens=settings.prompt_tokens, answer_tokens=settings.answer_tokens
            ),
            around=work.around,
            stand_in=OfflineAgent(seed=settings.seed),
            patience_s=settings.patience_s,
            transcript_of=lambda number: work.transcripts / f"{number:04d}.jsonl.gz",
            secrets=secrets,
        )

    # Only to find out now that a cap in USD cannot be kept, before anything is built.
    ModelAgent(provider, price=price, caps=caps)
    return Chosen(
        name=f"{provider.name}/{provider.model}",
        line=f"agent: {provider.name}, model {provider.model} ({why}){limit}",
        open=open_model,
    )
