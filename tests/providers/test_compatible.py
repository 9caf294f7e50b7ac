"""What only compatible servers need: their dialects, and those without tools."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lab.agents.providers import Stop
from lab.agents.providers.compatible import CompatibleProvider
from tests.providers.anthropic_wire import Event
from tests.providers.asking import KEY, answered, provider_of, request, sent_back
from tests.providers.server import ModelServer
from tests.providers.steps import READ, WRITTEN, Answer, Call, Fail

SIGNED = {"extra_content": {"google": {"thought_signature": "Sig=="}}}
PLAIN_CALL = (
    'Let me look.\n\n```json\n{"tool": "read_file", "arguments": {"path": "train.py"}}\n```\n'
)
EDITS = """I raise the rate.

```
<<<<<<< SEARCH
RATE = 0.04
=======
RATE = 0.08
>>>>>>> REPLACE
```
"""


def test_parallel_calls_with_one_index_are_told_apart() -> None:
    """Gemini gives all of them the index 0; run together they would be one call of nonsense."""
    calls = tuple(
        Call(name="read_file", arguments={"path": f"{n}.py"}, extra=SIGNED if n == 0 else {})
        for n in range(3)
    )
    with (
        ModelServer("compatible").script(
            [Answer(calls=calls, one_index=True), Answer(text="ok")]
        ) as server,
        provider_of("compatible", server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert [call.arguments for call in reply.calls] == [{"path": f"{n}.py"} for n in range(3)]
        provider.ask(request(answered(reply)))
        assert sent_back(server)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_a_server_that_counts_nothing_is_estimated() -> None:
    """A campaign's tokens are capped with local models too."""
    with (
        ModelServer("compatible").script([Answer(text="x" * 300, counts=False)]) as server,
        provider_of("compatible", server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert reply.usage.output_tokens == 100
        assert reply.usage.input_tokens == provider.count_tokens(request())


@pytest.mark.parametrize(
    "why", ["no_tools_ollama", "no_tools_vllm", "no_tools_llama_cpp", "no_tools_openrouter"]
)
def test_a_server_without_tools_is_asked_in_plain_text(why: str) -> None:
    """A local model that only writes text can do research too."""
    with (
        ModelServer("compatible").script(
            [Fail(why=why), Answer(text=PLAIN_CALL), Answer(text=EDITS), Answer(text="Done.")]
        ) as server,
        provider_of("compatible", server.base_url) as provider,
    ):
        first = provider.ask(request())
        assert [(call.name, call.arguments) for call in first.calls] == [
            ("read_file", {"path": "train.py"})
        ]
        assert first.ending == "tools"
        exchange = answered(first)
        second = provider.ask(request(exchange))
        assert [(call.name, call.arguments) for call in second.calls] == [
            (
                "edit_train",
                {
                    "edits": [{"search": "RATE = 0.04", "replace": "RATE = 0.08"}],
                    "whole_file": None,
                },
            )
        ]
        assert provider.ask(request(exchange, answered(second))).ending == "done"
        bodies = [recorded.body for recorded in server.requests]
    assert "tools" in bodies[0] and not any("tools" in body for body in bodies[1:])
    assert "read_file" in bodies[1]["messages"][0]["content"]
    assert [message["role"] for message in bodies[2]["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert "result 0" in bodies[2]["messages"][-1]["content"]


def test_a_server_can_be_said_to_have_no_tools() -> None:
    """Some servers accept tools and then ignore them."""
    with (
        ModelServer("compatible").script([Answer(text=PLAIN_CALL)]) as server,
        provider_of("compatible", server.base_url, tools=False) as provider,
    ):
        assert len(provider.ask(request()).calls) == 1
        assert "tools" not in server.requests[0].body


LONG = replace(request(), brief="The best score is 1.7. " * 2_000)  # 46,000 bytes


def test_a_server_that_cuts_the_prompt_is_found_out_at_once() -> None:
    """Ollama's default context is 4,096 tokens, and it says nothing: a night without its program and its contract."""
    with (
        ModelServer("compatible").script(
            [Answer(text="Hello!", new=4096 - READ - WRITTEN)]
        ) as server,
        provider_of("compatible", server.base_url) as provider,
        pytest.raises(Stop, match="read 4,096 tokens of a prompt of about 15") as caught,
    ):
        provider.ask(LONG)
    assert "OLLAMA_CONTEXT_LENGTH" in caught.value.do
    assert caught.value.usage is not None and caught.value.usage.output_tokens > 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(text="ok", new=8_000), id="three-fifths-of-the-estimate"),
        pytest.param(Answer(text="ok", counts=False), id="no-count"),
    ],
)
def test_an_honest_count_passes(answer: Answer) -> None:
    """The estimate is too high on purpose; and later a cache may make the count small."""
    later = Answer(text="ok", new=100)
    with (
        ModelServer("compatible").script([answer, Answer(text="ok"), later]) as server,
        provider_of("compatible", server.base_url) as provider,
    ):
        for _ in range(3):
            assert provider.ask(LONG).text == "ok"


def test_a_refusal_that_is_not_about_tools_is_not_tried_again() -> None:
    with (
        ModelServer("compatible").script([Fail(why="wrong_key")]) as server,
        provider_of("compatible", server.base_url) as provider,
    ):
        with pytest.raises(Stop):
            provider.ask(request())
        assert len(server.requests) == 1


def test_a_server_without_keys_is_sent_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a made-up one, which some servers check; and nothing of an account elsewhere."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    with ModelServer("compatible").script([Answer(text="ok")]) as server:
        provider = CompatibleProvider(model="m", base_url=server.base_url)
        assert provider.ask(request()).text == "ok"
        provider.close()
        assert "authorization" not in server.requests[0].headers
        assert not {KEY, "org-mine", "proj-mine"} & set(server.requests[0].headers.values())


def test_a_call_without_an_id_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are matched by it, also where the server left it out."""
    from tests.providers import chat_wire

    def events(answer: Answer, number: int, model: str) -> list[Event]:
        outline = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model}
        call = {"index": 0, "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
        return [
            (None, {**outline, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
            for delta, finish in [({"role": "assistant", "tool_calls": [call]}, None), ({}, "stop")]
        ]

    with (
        ModelServer("compatible") as server,
        provider_of("compatible", server.base_url) as provider,
    ):
        server.script([Answer(), Answer()])
        with monkeypatch.context() as patched:
            patched.setattr(chat_wire, "events", events)
            reply = provider.ask(request())
        assert (reply.calls[0].id, reply.ending) == ("call_1", "tools")
        provider.ask(request(answered(reply)))
        assert json.dumps(reply.raw["tool_calls"]) == json.dumps(sent_back(server)["tool_calls"])
