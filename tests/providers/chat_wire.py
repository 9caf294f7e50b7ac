"""Chat Completions, as servers that are compatible write them: vLLM, OpenRouter, Gemini, Ollama."""

from __future__ import annotations

from typing import Any

from tests.providers.anthropic_wire import Event, cut
from tests.providers.steps import NEW, READ, SAID, WRITTEN, Answer

PINGS = False

FAILURES: dict[str, tuple[int, Any]] = {
    "rate_limit": (429, {"error": {"message": "Rate limit exceeded: per-min.", "code": 429}}),
    "server_error": (500, {"error": {"message": "EngineCore encountered an issue.", "code": 500}}),
    "overloaded": (  # Gemini answers with a list
        503,
        [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}],
    ),
    "too_long": (  # vLLM
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "no_credit": (  # OpenRouter
        402,
        {"error": {"message": "Insufficient credits. Add more in your settings.", "code": 402}},
    ),
    "spend_limit": (403, {"error": {"message": "Key limit exceeded (total limit).", "code": 403}}),
    "wrong_key": (  # Gemini
        400,
        [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}],
    ),
    "no_model": (
        404,
        {"error": {"message": "model 'nothing' not found", "type": "not_found_error"}},
    ),
    "no_permission": (403, {"error": {"message": "Not for this key.", "code": 403}}),
    "no_tools_ollama": (
        400,
        {
            "error": {
                "message": "registry.ollama.ai/library/gemma:2b does not support tools",
                "code": None,
            }
        },
    ),
    "no_tools_vllm": (
        400,
        {
            "object": "error",
            "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            "code": 400,
        },
    ),
    "no_tools_llama_cpp": (
        500,
        {
            "error": {
                "code": 500,
                "message": "tools param requires --jinja flag",
                "type": "server_error",
            }
        },
    ),
    "no_tools_openrouter": (
        404,
        {"error": {"message": "No endpoints found that support tool use.", "code": 404}},
    ),
}


def message(answer: Answer, number: int) -> dict[str, Any]:
    """The assistant's message, as it must come back."""
    said: dict[str, Any] = {"role": "assistant"}
    if answer.thinking:
        said["reasoning_content"] = answer.thinking
    if answer.text:
        said["content"] = answer.text
    if answer.refusal and not answer.text:
        said["refusal"] = answer.refusal
    if answer.calls:
        said["tool_calls"] = [
            {
                "id": f"call_{number:02}{place:02}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.written},
                **call.extra,
            }
            for place, call in enumerate(answer.calls)
        ]
    if "content" not in said:
        said["content"] = None if answer.calls else ""
    return said


def events(answer: Answer, number: int, model: str) -> list[Event]:
    """The server-sent events of an answer; the last is the marker of the end."""
    told: list[Event] = []
    outline = {
        "id": f"chatcmpl-{number:04}",
        "object": "chat.completion.chunk",
        "created": 1795000000,
        "model": model,
    }

    def tell(delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        told.append((None, {**outline, "choices": [choice]}))

    tell({"role": "assistant"})
    for piece in cut(answer.thinking):
        tell({"reasoning_content": piece})
    for piece in cut(answer.text):
        tell({"content": piece})
    if answer.refusal and not answer.text:
        tell({"refusal": answer.refusal})
    said = message(answer, number)
    for place, call in enumerate(said.get("tool_calls", [])):
        index = 0 if answer.one_index else place
        if answer.one_index:  # Gemini sends a call whole
            tell({"tool_calls": [{"index": index, **call}]})
            continue
        begun = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        tell({"tool_calls": [{"index": index, **begun}]})
        for piece in cut(call["function"]["arguments"]):
            tell({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    reason = {"length": "length", "refused": "content_filter"}.get(answer.ending or "")
    tell({}, reason or ("tool_calls" if answer.calls else "stop"))
    if answer.counts:
        prompt = (NEW if answer.new is None else answer.new) + READ + WRITTEN
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": SAID,
            "total_tokens": prompt + SAID,
            "prompt_tokens_details": {"cached_tokens": READ, "cache_write_tokens": WRITTEN},
        }
        told.append((None, {**outline, "choices": [], "usage": usage}))
    told.append((None, "[DONE]"))
    return told


def broken(why: str) -> Event:
    """An error in the middle of a stream."""
    status, _ = FAILURES[why]
    return None, {"error": {"message": "Provider returned error", "code": status}}


def wrong(body: dict[str, Any]) -> str | None:
    """Why a strict server would not take a request; None when it would."""
    asked: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in asked:
                return f"tool_call_id {message['tool_call_id']} was not called"
            asked.remove(message["tool_call_id"])
            continue
        if asked:
            return (
                f"an assistant message with 'tool_calls' must be followed by tool messages: {asked}"
            )
        asked = [call["id"] for call in message.get("tool_calls", [])]
    return f"no tool messages for {asked}" if asked else None
