"""The agent that is a jailed assistant: settings that cannot be kept, and the nights in which it is silent."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from lab import jail
from lab.agents import NightEnds, NoMoreIdeas, Proposal
from lab.agents.command import CommandAgent
from lab.agents.open import choose_agent
from lab.compose import find_compose
from lab.errors import BadInput, EngineError
from lab.host import look_at_host
from lab.inbox import Inbox, Submission
from lab.prompt import Brief
from lab.settings import read_settings
from tests.faults.files import HONEST
from tests.providers.server import ModelServer
from tests.unit.recorded_model import FakeTime, brief_of

BRIEF = brief_of(train_py=HONEST)


class StandIn:
    name = "offline"
    thinks_ahead = False

    def __init__(self, ideas: int) -> None:
        self.ideas = ideas

    def propose(self, brief: Brief) -> Proposal:
        if self.ideas == 0:
            raise NoMoreIdeas
        self.ideas -= 1
        return Proposal(title="stand-in", hypothesis="", train_py=HONEST, agent="offline")


def agent_of(folder: Path, time: FakeTime, *, ideas: int, end_at: float = 1e9) -> CommandAgent:
    def stop() -> str | None:
        return "the time is up" if time.now >= end_at else None

    return CommandAgent(
        Inbox(folder), time.around(stop=stop), patience_s=600, stand_in=StandIn(ideas)
    )


def test_what_was_handed_in_comes_first(tmp_path: Path) -> None:
    """The assistant is the agent; the offline agent only fills its silence."""
    Inbox(tmp_path).submit(
        Submission(
            title="mine",
            hypothesis="",
            train_py=HONEST.replace("step == 10", "step == 60"),
            author="mcp scripted",
        ),
        best=HONEST,
    )
    assert agent_of(tmp_path, FakeTime(), ideas=1).propose(BRIEF).title == "mine"


def test_a_silent_assistant_does_not_hold_the_device_up(tmp_path: Path) -> None:
    """A night with a hung assistant still researches."""
    time = FakeTime()
    assert agent_of(tmp_path, time, ideas=1).propose(BRIEF).title == "stand-in"
    assert 600 <= time.now < 602


def test_without_any_idea_left_it_waits_for_the_assistant(tmp_path: Path) -> None:
    """The catalogue's end is not the night's end while somebody may still hand something in."""
    time = FakeTime()
    with pytest.raises(NightEnds, match="the time is up"):
        agent_of(tmp_path, time, ideas=0, end_at=5000).propose(BRIEF)
    assert time.now >= 5000


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs a COMMAND"),
        ({"command": "claude", "usd": "5"}, "USD cannot be kept"),
        ({"command": "claude", "model": "m"}, "MODEL cannot be kept"),
        ({"command": "claude", "key_file": "k"}, "KEY_FILE cannot be kept"),
    ],
)
def test_what_the_lab_cannot_keep_is_refused(given: dict[str, str], words: str) -> None:
    """A cap that nobody keeps is worse than none."""
    with pytest.raises(BadInput, match=words):
        choose_agent(read_settings({}, agent="command", **given))


@pytest.mark.parametrize(
    "key", ['sk"; proxy_pass http://elsewhere', "sk\nx", "sk x", "sk$x", "sk{x"]
)
def test_a_key_cannot_rewrite_the_gate(key: str) -> None:
    """Keys are pasted, and go into a configuration."""
    settings = read_settings({"ANTHROPIC_API_KEY": key}, agent="command", command="claude")
    with pytest.raises(BadInput, match="ANTHROPIC_API_KEY holds a character") as refused:
        jail._values(settings, "base", "")
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("base_url", "upstream"),
    [
        (None, ""),
        ("https://models.example.org/v1/", "https://models.example.org/v1"),
        ("http://192.168.1.7:8000/v1", "http://192.168.1.7:8000/v1"),
        ("http://127.0.0.1:11434/v1", "http://unix:/meet/model.sock:/v1"),
        ("http://localhost:8000/v1/", "http://unix:/meet/model.sock:/v1"),
        ("http://0.0.0.0:8000", "http://unix:/meet/model.sock:"),
        ("http://[::1]:8000/v1", "http://unix:/meet/model.sock:/v1"),
    ],
)
def test_the_gate_is_told_an_address_that_it_can_reach(base_url: str | None, upstream: str) -> None:
    """To a container 127.0.0.1 is the container, so that a night would be one of 502s."""
    settings = read_settings({}, agent="command", command="mine", base_url=base_url)
    assert jail._values(settings, "base", "")["COMPATIBLE_UPSTREAM"] == upstream


def test_a_server_of_this_host_is_reached_from_the_meeting_place(tmp_path: Path) -> None:
    """What the gate is given of the host is that folder, and so nothing else of the host is in its reach."""
    with ModelServer("compatible") as server:
        base_url = server.base_url
        with jail._meeting_place(tmp_path / "jail") as meeting:
            with jail._way_to_local_server(base_url, meeting):
                way = httpx2.HTTPTransport(uds=str(meeting / "model.sock"))
                with httpx2.Client(transport=way) as gate:
                    answer = gate.post("http://localhost/v1/elsewhere", json={})
            assert "no such place: /v1/elsewhere" in answer.text
            with jail._way_to_local_server("https://models.example.org/v1", meeting):
                assert [path.name for path in meeting.iterdir()] == [jail.ALIVE]


@pytest.mark.parametrize(
    "base_url", ["https://127.0.0.1:8443/v1", "127.0.0.1:11434", "https://me:word@example.org/v1"]
)
def test_a_server_that_no_gate_can_reach_is_refused_at_once(base_url: str) -> None:
    """Else the night is the offline agent's, and why stands in a log of nginx."""
    with pytest.raises(BadInput) as refused:
        choose_agent(read_settings({}, agent="command", command="mine", base_url=base_url))
    assert refused.value.do


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"type": "result", "result": "Invalid API key", "usage": {}}', "Invalid API key"),
        ("codex: 401 Unauthorized", "codex: 401 Unauthorized"),
        ("[1, 2]", "[1, 2]"),
        ("\x1b[2Jgone", "gone"),
    ],
)
def test_the_last_words_of_a_session_are_for_people(line: str, words: str) -> None:
    """A wrong key is found out in the morning, from one line; no line may rewrite the terminal."""
    assert jail.last_words(line) == words


def test_without_compose_it_is_said_what_to_install() -> None:
    """The first night on a host that may not install anything."""
    host = look_at_host(
        lambda command: __import__("subprocess").CompletedProcess(command, 1, "", "")
    )
    with pytest.raises(EngineError, match="no Compose here") as refused:
        find_compose(read_settings({}, install_engine=False), print, host=host)
    assert "docker-compose" in refused.value.do
