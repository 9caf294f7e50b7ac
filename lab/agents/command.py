"""An agent that is a coding assistant in a jail: what it hands in over MCP, and the offline agent while it is silent."""

from __future__ import annotations

from lab.agents import Agent, NightEnds, NoMoreIdeas, Proposal
from lab.agents.asking import Surroundings
from lab.agents.human import LOOK_EVERY_S, submitted_to
from lab.inbox import Inbox
from lab.prompt import Brief

# Their own tools are denied: the lab's are all that helps.
COMMANDS = {
    "claude": "claude --print --bare --verbose --output-format stream-json --tools '' "
    "--mcp-config mcp.json --strict-mcp-config --allowedTools mcp__nightlab",
    "codex": "codex exec --skip-git-repo-check --sandbox read-only "
    "-c 'mcp_servers.nightlab.url=\"http://gate:8080/mcp\"' -c 'mcp_servers.nightlab.tool_timeout_sec=1200' "
    '-c \'model_provider="gate"\' -c \'model_providers.gate={name="gate", '
    'base_url="http://gate:8080/openai/v1", env_key="OPENAI_API_KEY", wire_api="responses"}\' -',
}


class CommandAgent:
    """Waits for the inbox, but not for ever: a silent assistant must not hold the device up."""

    name = "command"
    thinks_ahead = False  # what was handed in is taken when its turn comes

    def __init__(
        self, inbox: Inbox, around: Surroundings, *, patience_s: float, stand_in: Agent
    ) -> None:
        self._inbox = inbox
        self._around = around
        self._patience_s = patience_s
        self._stand_in: Agent | None = stand_in

    def propose(self, brief: Brief) -> Proposal:
        """The oldest submission; after `patience_s` without one, the stand-in's idea.

        Raises:
            NightEnds: it should end, and nothing was submitted.
        """
        deadline = self._around.clock() + self._patience_s
        while (why := self._around.stop()) is None:
            if proposal := submitted_to(self._inbox, brief):
                return proposal
            if self._stand_in is not None and self._around.clock() >= deadline:
                try:
                    proposal = self._stand_in.propose(brief)
                except NoMoreIdeas:
                    self._stand_in = None  # from here on the assistant is all there is
                    continue
                self._around.say(
                    f"nothing was handed in for {self._patience_s:.0f} s; the offline agent proposes"
                )
                return proposal
            self._around.sleep(LOOK_EVERY_S)
        raise NightEnds(why)
