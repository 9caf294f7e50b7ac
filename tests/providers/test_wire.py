"""The scripted server speaks what the SDKs' own types describe; a test against a fantasy proves nothing."""

from __future__ import annotations

from typing import Any

import anthropic.types
import openai.types.chat
import openai.types.responses
import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from tests.providers.asking import answered, provider_of, request
from tests.providers.server import WIRES, ModelServer
from tests.providers.steps import KINDS, Answer, Call, Kind

EVENTS: dict[Kind, TypeAdapter[Any]] = {
    "anthropic": TypeAdapter(anthropic.types.RawMessageStreamEvent),
    "openai": TypeAdapter(openai.types.responses.ResponseStreamEvent),
    "compatible": TypeAdapter(openai.types.chat.ChatCompletionChunk),
}
REQUESTS: dict[Kind, TypeAdapter[Any]] = {
    "anthropic": TypeAdapter(MessageCreateParamsStreaming),
    "openai": TypeAdapter(ResponseCreateParamsStreaming),
    "compatible": TypeAdapter(CompletionCreateParamsStreaming),
}
ANSWERS = [
    Answer(text="hello", thinking="hm"),
    Answer(calls=(Call(name="read_file", arguments={"path": "a"}),) * 2, text="I look"),
    Answer(ending="refused", refusal="no"),
    Answer(text="half", ending="length"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ANSWERS, ids=["thought", "calls", "refused", "length"])
def test_every_event_is_one_of_the_sdk(kind: Kind, answer: Answer) -> None:
    for _, event in WIRES[kind].events(answer, 1, "m"):
        if event != "[DONE]" and event.get("type") != "ping":
            EVENTS[kind].validate_python(event)


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_is_one_of_the_sdk(kind: Kind) -> None:
    """Type checkers do not see what is put together from plain dictionaries."""
    steps = [ANSWERS[1], ANSWERS[0], ANSWERS[0]]
    with (
        ModelServer(kind).script(steps) as server,
        provider_of(kind, server.base_url, effort="high") as provider,
    ):
        first = answered(provider.ask(request()), is_error=True)
        second = answered(provider.ask(request(first)), text="And now?")
        provider.ask(request(first, second))
        for recorded in server.requests:
            REQUESTS[kind].validate_python(recorded.body)
        assert len(server.requests) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_conversation_is_refused_by_the_server_too(kind: Kind) -> None:
    """So that a later test with a night of requests cannot pass with calls left unanswered."""
    with (
        ModelServer(kind).script(lambda _: ANSWERS[1]) as server,
        provider_of(kind, server.base_url) as provider,
    ):
        reply = provider.ask(request())
        forgotten = answered(reply)
        with pytest.raises(Exception, match="400"):
            provider.ask(request(type(forgotten)(reply=reply, results=forgotten.results[:1])))
