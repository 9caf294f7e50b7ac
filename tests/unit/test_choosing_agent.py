"""Which agent a night gets from what a user has set, and to whom a key may go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.agents.asking import Surroundings
from lab.agents.open import Workplace, choose_agent
from lab.errors import BadInput
from lab.inbox import Inbox
from lab.settings import read_settings
from tests.faults.files import HONEST
from tests.providers.server import ModelServer
from tests.providers.steps import Answer, Call
from tests.unit.recorded_model import brief_of

KEY = "sk-ant-0123456789abcdef"
KEYS = dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"), KEY)
URL = "http://127.0.0.1:11434/v1"
BETTER = {"find": "step == 10", "replace": "step == 60"}
SUBMIT = {"title": "more steps", "hypothesis": "ten are few", "expected_effect": "lower"}


@pytest.mark.parametrize(
    ("environ", "given", "line"),
    [
        pytest.param({}, {}, "agent: offline (no provider's key is set)", id="nothing"),
        pytest.param(KEYS, {}, "agent: anthropic, model claude-", id="keys"),
        pytest.param(
            {"GEMINI_API_KEY": KEY}, {}, "agent: gemini, model gemini-", id="the-key-that-there-is"
        ),
        pytest.param(
            {},
            {"base_url": URL, "model": "qwen3"},
            "agent: compatible, model qwen3 (the server at BASE_URL)",
            id="a-server",
        ),
        pytest.param(
            KEYS,
            {"base_url": URL, "model": "qwen3"},
            "agent: compatible, model qwen3 (the server at BASE_URL)",
            id="a-server-and-keys",
        ),
        pytest.param(
            KEYS,
            {"agent": "openai", "base_url": URL, "model": "m"},
            "agent: openai, model m (as you asked)",
            id="a-proxy-by-name",
        ),
    ],
)
def test_the_first_line_says_who_works_and_why(
    environ: dict[str, str], given: dict[str, Any], line: str
) -> None:
    """A key, or a server of one's own, and `make overnight`: nothing else has to be said."""
    assert choose_agent(read_settings(environ, **given)).line.startswith(line)


def test_no_key_goes_to_a_server_that_it_is_not_of(tmp_path: Path) -> None:
    """Whoever runs the server at BASE_URL could spend the money of whoever has a provider's key in the shell."""
    edit = Call(name="edit_train", arguments={"edits": [BETTER], "whole_file": ""})
    script = [Answer(calls=(edit,)), Answer(calls=(Call(name="submit", arguments=SUBMIT),))]
    with ModelServer("compatible").script(script) as server:
        chosen = choose_agent(read_settings(KEYS, model="qwen3", base_url=server.base_url))
        work = Workplace(
            around=Surroundings(), inbox=Inbox(tmp_path), transcripts=tmp_path / "transcripts"
        )
        proposal = chosen.open(work).propose(brief_of(train_py=HONEST))
        sent = server.requests
    assert (proposal.title, proposal.agent) == ("more steps", "compatible/qwen3")
    assert len(sent) == 2
    assert all(KEY not in value for each in sent for value in each.headers.values())


@pytest.mark.parametrize("base_url", [None, URL])
def test_a_key_file_goes_with_a_name(tmp_path: Path, base_url: str | None) -> None:
    """Its key opens one provider; to take another's instead, or none, would be a night with the wrong agent."""
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    given = {"key_file": str(file), "base_url": base_url, "model": "m"}
    with pytest.raises(BadInput, match="whose key") as refused:
        choose_agent(read_settings(KEYS, **given))
    assert "AGENT" in refused.value.do
    assert KEY not in str(refused.value)
    named = choose_agent(read_settings({}, agent="openai", key_file=str(file)))
    assert named.line.startswith("agent: openai")


@pytest.mark.parametrize("agent", ["anthropic", "openai", "gemini"])
def test_a_key_never_goes_out_in_the_clear(agent: str) -> None:
    given = {"agent": agent, "base_url": "http://proxy.example.org/v1", "model": "m"}
    with pytest.raises(BadInput, match="in the clear"):
        choose_agent(read_settings(KEYS, **given))
