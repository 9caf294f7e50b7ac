"""Which agent to use, settled once when the campaign opens."""

from __future__ import annotations

from lab.agents import Agent
from lab.agents.offline import OfflineAgent
from lab.agents.scripted import ScriptedAgent
from lab.settings import Settings


def open_agent(settings: Settings) -> Agent:
    """The agent that was asked for; `auto` takes the best one that needs nothing this host lacks.

    Raises:
        BadInput: the scripted agent has no usable folder of replies.
    """
    if settings.agent == "scripted":
        return ScriptedAgent(settings.script)
    return OfflineAgent(seed=settings.seed)


def agent_line(settings: Settings) -> str:
    """One line for the terminal: which agent works tonight, and why that one."""
    match settings.agent:
        case "scripted":
            return f"agent: scripted, replies from {settings.script}"
        case "offline":
            return "agent: offline, a seeded catalogue of mutations; no key, no network"
        case "auto":
            return (
                "agent: offline (no model-driven agent is set up), a seeded catalogue of mutations"
            )
