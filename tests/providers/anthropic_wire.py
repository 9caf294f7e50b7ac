"""Anthropic's Messages API, as its server writes it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.providers.steps import NEW, READ, SAID, WRITTEN, Answer

Event = tuple[str | None, Any]


def _error(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind, "message": message}
    if code:
        error["details"] = {"error_code": code}
    return {"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


PINGS = True  # whether it has an event for them, besides comments

FAILURES: dict[str, tuple[int, Any]] = {
    "rate_limit": (
        429,
        _error(
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 30,000 input tokens per minute. "
            "Contact sales to discuss a higher limit, or see the billing page.",
        ),
    ),
    "server_error": (500, _error("api_error", "Internal server error")),
    "overloaded": (529, _error("overloaded_error", "Overloaded")),
    "too_long": (
        400,
        _error("invalid_request_error", "prompt is too long: 1048577 tokens > 1000000 maximum"),
    ),
    "no_credit": (
        400,
        _error(
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
            "upgrade or purchase credits.",
        ),
    ),
    "spend_limit": (
        429,
        _error("rate_limit_error", "The limit is reached.", "enforced_spend_limit_reached"),
    ),
    "wrong_key": (401, _error("authentication_error", "invalid x-api-key")),
    "no_model": (404, _error("not_found_error", "model: claude-nothing")),
    "no_permission": (403, _error("permission_error", "Your key may not use this resource.")),
}


def usage(answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": NEW,
        "cache_read_input_tokens": READ,
        "cache_creation_input_tokens": WRITTEN,
        "cache_creation": {
            "ephemeral_5m_input_tokens": WRITTEN // 2,
            "ephemeral_1h_input_tokens": WRITTEN - WRITTEN // 2,
        },
        "output_tokens": 1,
        "service_tier": "standard",
    }


def sign(messages: list[dict[str, Any]]) -> str:
    """The signature of a thought that comes after these messages; the marks of the cache are not part of them."""
    bare = [
        [
            {name: value for name, value in block.items() if name != "cache_control"}
            for block in m["content"]
        ]
        for m in messages
    ]
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


def message(answer: Answer, number: int, read: Any) -> list[dict[str, Any]]:
    """The content blocks of an answer, as they must come back; `read` parses a call's arguments."""
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append(
            {"type": "thinking", "thinking": answer.thinking, "signature": answer.signature}
        )
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    blocks += [
        {
            "type": "tool_use",
            "id": f"toolu_{number:02}{place:02}",
            "name": call.name,
            "input": read(call.written) or {},
            "caller": {"type": "direct"},
            **call.extra,
        }
        for place, call in enumerate(answer.calls)
    ]
    return blocks


def events(answer: Answer, number: int, model: str) -> list[Event]:
    """The server-sent events of an answer."""
    told: list[Event] = []

    def tell(kind: str, **facts: Any) -> None:
        told.append((kind, {"type": kind, **facts}))

    tell(
        "message_start",
        message={
            "id": f"msg_{number:04}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage(answer),
        },
    )
    tell("ping")
    written = iter(call.written for call in answer.calls)
    for index, block in enumerate(message(answer, number, lambda _: {})):
        deltas: list[dict[str, Any]]
        if block["type"] == "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": piece} for piece in cut(block["thinking"])
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif block["type"] == "text":
            start = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
        else:
            start = block
            deltas = [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in ["", *cut(next(written))]
            ]
        tell("content_block_start", index=index, content_block=start)
        for delta in deltas:
            tell("content_block_delta", index=index, delta=delta)
        tell("content_block_stop", index=index)
    reason = {"length": "max_tokens", "refused": "refusal"}.get(answer.ending or "")
    delta = {
        "stop_reason": reason or ("tool_use" if answer.calls else "end_turn"),
        "stop_sequence": None,
    }
    if answer.refusal:
        delta["stop_details"] = {
            "type": "refusal",
            "category": "frontier_llm",
            "explanation": answer.refusal,
        }
    tell("message_delta", delta=delta, usage={"output_tokens": SAID})
    tell("message_stop")
    return told


def broken(why: str) -> Event:
    """An error in the middle of a stream."""
    return "error", FAILURES[why][1]


def cut(text: str, size: int = 7) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def wrong(body: dict[str, Any]) -> str | None:
    """Why the real API would not take a request; None when it would."""
    asked: list[str] = []
    if body["messages"][0]["role"] != "user":
        return "messages: first message must use the user role"
    for place, message in enumerate(body["messages"]):
        content = message["content"]
        if not content or any(not block.get("text", "x").strip() for block in content):
            return "messages: text content blocks must contain non-whitespace text"
        signed = {block["signature"] for block in content if block["type"] == "thinking"}
        if signed - {sign(body["messages"][:place])}:
            return f"messages.{place}.content.0: Invalid `signature` in `thinking` block"
        answered = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
        if sorted(answered) != sorted(asked):
            return f"messages: `tool_use` ids were found without `tool_result` blocks: {asked}"
        asked = [block["id"] for block in content if block["type"] == "tool_use"]
        if any(not isinstance(block.get("input", {}), dict) for block in content):
            return "messages: tool_use.input: Input should be a valid dictionary"
    kept = [
        block["cache_control"]["ttl"]
        for part in (
            body.get("tools", []),
            body["system"],
            *(m["content"] for m in body["messages"]),
        )
        for block in part
        if "cache_control" in block
    ]
    if len(kept) > 4 or kept != sorted(kept):
        return f"a maximum of 4 blocks with cache_control, longer lifetimes first: {kept}"
    for tool in body.get("tools", []):
        schema = tool["input_schema"]
        if tool["strict"] and schema.get("additionalProperties") is not False:
            return f"tools: {tool['name']}: `additionalProperties` must be false"
    return None
