"""What only OpenAI's provider does."""

from __future__ import annotations

import pytest

from lab.agents.providers import TryAgain, Usage
from tests.providers.asking import answered, provider_of, request
from tests.providers.server import ModelServer
from tests.providers.steps import NEW, READ, SAID, WRITTEN, Answer, Call, Fail

LOOK = Answer(thinking="hm", calls=(Call(name="read_file", arguments={"path": "train.py"}),))


def test_nothing_is_stored_and_thoughts_go_back_encrypted() -> None:
    """Without them the model thinks everything again; stored, they would lie with somebody else."""
    with (
        ModelServer("openai").script([LOOK, Answer(text="ok")]) as server,
        provider_of("openai", server.base_url) as provider,
    ):
        provider.ask(request(answered(provider.ask(request()))))
        for recorded in server.requests:
            assert recorded.body["store"] is False
            assert recorded.body["include"] == ["reasoning.encrypted_content"]
            assert "previous_response_id" not in recorded.body
        thought = server.requests[1].body["input"][1]
    assert thought["encrypted_content"] == server.said[0][0]["encrypted_content"]
    assert len(thought["encrypted_content"]) > 6, "complete, not as it was when it was announced"


def test_a_thought_that_led_to_nothing_is_not_sent_back() -> None:
    """The API refuses one that nothing follows, as where an answer was cut off in it."""
    cut = Answer(thinking="hm", ending="length")
    with (
        ModelServer("openai").script([cut, Answer(text="ok")]) as server,
        provider_of("openai", server.base_url) as provider,
    ):
        reply = provider.ask(request())
        assert (reply.ending, reply.text, reply.raw) == ("length", "", [])
        assert provider.ask(request(answered(reply, text="Go on."))).text == "ok"


def test_what_a_failed_response_took_is_as_openai_counts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is on the bill, thought that never was sent included."""
    from tests.providers import openai_wire

    whole = openai_wire.response(Answer(), 1, "m", "completed")
    failed = {**whole, "status": "failed", "error": {"code": "server_error", "message": "no"}}
    event = ("response.failed", {"type": "response.failed", "response": failed})
    monkeypatch.setattr(openai_wire, "broken", lambda why: event)
    with (
        ModelServer("openai").script([Answer(text="I would", breaks="server_error")]) as server,
        provider_of("openai", server.base_url) as provider,
        pytest.raises(TryAgain) as caught,
    ):
        provider.ask(request())
    assert caught.value.usage == Usage(
        input_tokens=NEW, cache_read_tokens=READ, cache_write_tokens=WRITTEN, output_tokens=SAID
    )


def test_one_night_has_one_cache_key() -> None:
    """It keeps requests with one prefix on the machines that have it."""
    with ModelServer("openai").script([Answer(text="ok")] * 3) as server:
        for tools in (request().tools, request().tools, ()):
            with provider_of("openai", server.base_url) as provider:
                provider.ask(request(tools=tools))
        keys = [recorded.body["prompt_cache_key"] for recorded in server.requests]
    assert keys[0] == keys[1] != keys[2]


def test_effort_is_asked_for_only_when_it_is_set() -> None:
    with ModelServer("openai").script([Answer(text="ok")] * 2) as server:
        for effort in (None, "high"):
            with provider_of("openai", server.base_url, effort=effort) as provider:
                provider.ask(request())
        plain, hard = (recorded.body for recorded in server.requests)
    assert "reasoning" not in plain
    assert hard["reasoning"] == {"effort": "high"}


def test_a_failed_call_says_so_in_words() -> None:
    """The format has no flag for it."""
    with (
        ModelServer("openai").script([LOOK, Answer(text="ok")]) as server,
        provider_of("openai", server.base_url) as provider,
    ):
        provider.ask(request(answered(provider.ask(request()), is_error=True)))
        assert server.requests[1].body["input"][-1]["output"] == "Error: result 0"


def test_a_flagged_prompt_is_a_refusal() -> None:
    """Another proposal may pass; the night is not over."""
    from tests.providers import openai_wire

    openai_wire.FAILURES["flagged"] = (
        400,
        {"error": {"message": "Your prompt was flagged.", "type": "x", "code": "invalid_prompt"}},
    )
    with (
        ModelServer("openai").script([Fail(why="flagged")]) as server,
        provider_of("openai", server.base_url) as provider,
    ):
        reply = provider.ask(request())
    assert reply.ending == "refused" and "flagged" in reply.text and reply.raw == []
