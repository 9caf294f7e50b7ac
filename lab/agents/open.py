"""Which agent to use, settled once when the campaign opens."""

from __future__ import annotations

from collections.abc import Callable

from lab.agents import Agent
from lab.agents.human import HumanAgent
from lab.agents.offline import OfflineAgent
from lab.agents.scripted import ScriptedAgent
from lab.inbox import Inbox
from lab.settings import Settings


def open_agent(
    settings: Settings, inbox: Inbox | None = None, stop: Callable[[], bool] = lambda: True
) -> Agent:
    """The agent that was asked for; `auto` takes the best one that needs nothing this host lacks.

    One that waits for somebody looks into `inbox`, until `stop` says that the night wants to end; without
    them it is opened only to see that it can be.

    Raises:
        BadInput: the scripted agent has no usable folder of replies.
    """
    if settings.agent == "scripted":
        return ScriptedAgent(settings.script)
    if settings.agent == "human":
        return HumanAgent(inbox or Inbox(settings.runs), stop)
    return OfflineAgent(seed=settings.seed)


def agent_line(settings: Settings) -> str:
    """One line for the terminal: which agent works tonight, and why that one."""
    match settings.agent:
        case "scripted":
            return f"agent: scripted, replies from {settings.script}"
        case "human":
            return "agent: human; it runs what `lab submit` and MCP clients hand in"
        case "offline":
            return "agent: offline, a seeded catalogue of mutations; no key, no network"
        case "auto":
            return (
                "agent: offline (no model-driven agent is set up), a seeded catalogue of mutations"
            )
