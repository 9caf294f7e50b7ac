"""OpenAI's Responses API, as its server writes it."""

from __future__ import annotations

from typing import Any

from tests.providers.anthropic_wire import Event, cut
from tests.providers.steps import NEW, READ, SAID, WRITTEN, Answer


def _error(code: str | None, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


PINGS = False

FAILURES: dict[str, tuple[int, Any]] = {
    "rate_limit": (
        429,
        _error(
            "rate_limit_exceeded",
            "Rate limit reached for gpt-6.2-sol in organization org-x on tokens per min (TPM): Limit 30000, "
            "Used 29000, Requested 5000. You can increase your rate limit by adding a payment method to your "
            "account at https://platform.openai.com/account/billing.",
            "tokens",
        ),
    ),
    "server_error": (
        500,
        _error(None, "The server had an error while processing your request.", "server_error"),
    ),
    "overloaded": (
        503,
        _error(None, "The server is overloaded or not ready yet.", "service_unavailable_error"),
    ),
    "too_long": (
        400,
        _error(
            "context_length_exceeded",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
        ),
    ),
    "no_credit": (
        429,
        _error(
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
        ),
    ),
    "spend_limit": (
        400,
        _error(
            "billing_hard_limit_reached",
            "Billing hard limit has been reached",
            "invalid_request_error",
        ),
    ),
    "wrong_key": (
        401,
        _error(
            "invalid_api_key", "Incorrect API key provided: KEY. You can find your API key at ..."
        ),
    ),
    "no_model": (404, _error("model_not_found", "The model `gpt-nothing` does not exist.")),
    "no_permission": (403, _error("unsupported_country_region_territory", "Not supported here.")),
}


def message(answer: Answer, number: int) -> list[dict[str, Any]]:
    """The output items of an answer, as they must come back."""
    items: list[dict[str, Any]] = []
    if answer.thinking:
        items.append(
            {
                "id": f"rs_{number:04}",
                "type": "reasoning",
                "summary": [],
                "encrypted_content": f"gAAAAA{answer.thinking[::-1]}",
            }
        )
    part: dict[str, Any] | None = None
    if answer.ending == "refused" and answer.refusal:
        part = {"type": "refusal", "refusal": answer.refusal}
    elif answer.text:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}
    if part:
        items.append(
            {
                "id": f"msg_{number:04}",
                "type": "message",
                "status": "completed",
                "content": [part],
                "phase": None,
                "role": "assistant",
            }
        )
    items += [
        {
            "id": f"fc_{number:02}{place:02}",
            "type": "function_call",
            "status": "completed",
            "arguments": call.written,
            "call_id": f"call_{number:02}{place:02}",
            "name": call.name,
            **call.extra,
        }
        for place, call in enumerate(answer.calls)
    ]
    return items


def response(answer: Answer, number: int, model: str, status: str) -> dict[str, Any]:
    done = status not in ("in_progress", "failed")
    return {
        "id": f"resp_{number:04}",
        "object": "response",
        "created_at": 1795000000,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": message(answer, number) if done else [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": {
            "input_tokens": NEW + READ + WRITTEN,
            "input_tokens_details": {"cached_tokens": READ, "cache_write_tokens": WRITTEN},
            "output_tokens": SAID,
            "output_tokens_details": {"reasoning_tokens": SAID // 2},
            "total_tokens": NEW + READ + WRITTEN + SAID,
        }
        if done
        else None,
    }


def events(answer: Answer, number: int, model: str) -> list[Event]:
    """The server-sent events of an answer."""
    told: list[Event] = []

    def tell(kind: str, **facts: Any) -> None:
        told.append((kind, {"type": kind, "sequence_number": len(told), **facts}))

    tell("response.created", response=response(answer, number, model, "in_progress"))
    tell("response.in_progress", response=response(answer, number, model, "in_progress"))
    for index, item in enumerate(message(answer, number)):
        at = {"item_id": item["id"], "output_index": index}
        begun = {**item, "status": "in_progress"}
        if item["type"] == "reasoning":
            begun = {**item, "encrypted_content": item["encrypted_content"][:8]}  # not yet complete
        elif item["type"] == "message":
            begun["content"] = []
        else:
            begun["arguments"] = ""
        tell("response.output_item.added", output_index=index, item=begun)
        if item["type"] == "message" and item["content"][0]["type"] == "output_text":
            text = item["content"][0]["text"]
            for piece in cut(text):
                tell("response.output_text.delta", **at, content_index=0, delta=piece, logprobs=[])
            tell("response.output_text.done", **at, content_index=0, text=text, logprobs=[])
        elif item["type"] == "message":
            for piece in cut(item["content"][0]["refusal"]):
                tell("response.refusal.delta", **at, content_index=0, delta=piece)
        elif item["type"] == "function_call":
            for piece in cut(item["arguments"]):
                tell("response.function_call_arguments.delta", **at, delta=piece)
            tell(
                "response.function_call_arguments.done",
                **at,
                name=item["name"],
                arguments=item["arguments"],
            )
        tell("response.output_item.done", output_index=index, item=item)
    status = "incomplete" if answer.ending == "length" else "completed"
    tell(f"response.{status}", response=response(answer, number, model, status))
    return told


def broken(why: str) -> Event:
    """An error in the middle of a stream."""
    if why == "overloaded":
        error = {"code": "rate_limit_exceeded", "message": "The model is at its limit."}
        failed = {**response(Answer(), 0, "m", "failed"), "error": error}
        return "response.failed", {
            "type": "response.failed",
            "sequence_number": 9,
            "response": failed,
        }
    facts = {"code": "server_error", "message": "The server had an error.", "param": None}
    return "error", {"type": "error", "sequence_number": 9, **facts}


def wrong(body: dict[str, Any]) -> str | None:
    """Why the real API would not take a request; None when it would."""
    called = [item["call_id"] for item in body["input"] if item.get("type") == "function_call"]
    given = [
        item["call_id"] for item in body["input"] if item.get("type") == "function_call_output"
    ]
    if called != given:
        return f"No tool output found for function call {sorted(set(called) ^ set(given))}."
    if body["store"] is not False:
        return "this account keeps nothing"
    kinds = [item.get("type", "message") for item in body["input"]]
    for kind, following in zip(kinds, [*kinds[1:], "nothing"], strict=True):
        if kind == "reasoning" and following not in ("reasoning", "message", "function_call"):
            return "Item of type 'reasoning' was provided without its required following item."
    for item in body["input"]:
        if item.get("type") == "reasoning" and not item.get("encrypted_content", "").startswith(
            "gAAAAA"
        ):
            return f"Item '{item['id']}' not found: it was not stored and has no encrypted content."
    for tool in body.get("tools", []):
        schema = tool["parameters"]
        required = sorted(schema.get("required", [])) == sorted(schema["properties"])
        if tool["strict"] and not (required and schema.get("additionalProperties") is False):
            return f"Invalid schema for function '{tool['name']}'"
    return None
