"""What the tests of providers share: a provider against a server, a request, and what a conversation adds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab.agents.providers import Exchange, Provider, Reply, Request, Tool, ToolResult
from tests.providers.server import ModelServer
from tests.providers.steps import Kind

KEY = "sk-test-0123456789abcdef"

READ_FILE = Tool(
    name="read_file",
    description="Read a file.",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string", "description": "its name"}},
        "required": ["path"],
        "additionalProperties": False,
    },
)
EDIT_TRAIN = Tool(
    name="edit_train",
    description="Change train.py.",
    parameters={
        "type": "object",
        "properties": {
            "edits": {
                "anyOf": [
                    {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "search": {"type": "string"},
                                "replace": {"type": "string"},
                            },
                            "required": ["search", "replace"],
                            "additionalProperties": False,
                        },
                    },
                    {"type": "null"},
                ]
            },
            "whole_file": {"type": ["string", "null"]},
        },
        "required": ["edits", "whole_file"],
        "additionalProperties": False,
    },
)


@contextmanager
def provider_of(kind: Kind, base_url: str, **options: Any) -> Iterator[Provider]:
    """A provider that asks a server on the loopback, closed afterwards."""
    from lab.agents.providers.anthropic import AnthropicProvider
    from lab.agents.providers.compatible import CompatibleProvider
    from lab.agents.providers.openai import OpenAIProvider

    made = {
        "anthropic": AnthropicProvider,
        "openai": OpenAIProvider,
        "compatible": CompatibleProvider,
    }[kind](**{"model": "test-model", "key": KEY, "base_url": base_url, **options})
    try:
        yield made
    finally:
        made.close()


def request(*exchanges: Exchange, tools: tuple[Tool, ...] = (READ_FILE, EDIT_TRAIN)) -> Request:
    return Request(
        system="You improve train.py.",
        brief="The best score is 1.7. Propose one change.",
        exchanges=exchanges,
        tools=tools,
        max_output_tokens=2000,
    )


def answered(reply: Reply, *, text: str = "", is_error: bool = False) -> Exchange:
    """A reply, with a result for each of its calls."""
    results = tuple(
        ToolResult(call_id=call.id, name=call.name, content=f"result {number}", is_error=is_error)
        for number, call in enumerate(reply.calls)
    )
    return Exchange(reply=reply, results=results, text=text)


def sent_back(server: ModelServer) -> Any:
    """What the last request brought back of the model's last answer, as the server got it."""
    body = server.requests[-1].body
    if server.kind == "anthropic":
        return [m["content"] for m in body["messages"] if m["role"] == "assistant"][-1]
    if server.kind == "openai":
        kinds = ("reasoning", "message", "function_call")
        return [item for item in body["input"] if item.get("type") in kinds]
    return [m for m in body["messages"] if m["role"] == "assistant"][-1]
