"""Anthropic's Messages API, by its official SDK.

Always streamed: a long answer outlives the minutes that a silent connection is left open. What the model said
goes back block by block as it came, signatures and unknown fields included; without them it refuses to go on. A
thought is signed together with what stood before it, so once that was shortened the thought stays away.

The prompt is cached in four steps, each a prefix of the next: tools and system for the night, and of the brief what
the next one begins with too, both for an hour because an experiment takes longer than five minutes; the rest of the
brief, and the conversation so far, whose next turn comes within minutes.
"""

from __future__ import annotations

import json
from typing import Any, Final

import anthropic
import httpx2

from lab.agents.providers import (
    Ending,
    ProviderError,
    Reply,
    Request,
    Stop,
    ToolCall,
    TryAgain,
    Usage,
)
from lab.agents.providers.address import is_loopback
from lab.agents.providers.failures import Declined, Failure, clean, judge, of_line
from lab.agents.providers.line import (
    BYTES_PER_TOKEN_CLAUDE,
    CONNECT_S,
    COUNT_S,
    SILENCE_S,
    estimate_request,
    hold_to_time,
    read_object,
)

BASE_URL = "https://api.anthropic.com"
EFFORTS = ("low", "medium", "high", "xhigh", "max")

HOUR: Final = {"type": "ephemeral", "ttl": "1h"}
MINUTES: Final = {"type": "ephemeral", "ttl": "5m"}

ENDINGS: dict[str, Ending] = {
    "end_turn": "done",
    "stop_sequence": "done",
    "pause_turn": "done",
    "tool_use": "tools",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
}

THOUGHTS = ("thinking", "redacted_thinking")

# What strict mode refuses in a schema.
BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
)
# What may come out of a request: the SDK's own errors, those of the line that it lets out of a stream, and what
# a malformed event does to the SDK or to the code here.
FAILURES = (
    anthropic.AnthropicError,
    httpx2.HTTPError,
    httpx2.StreamError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)


class AnthropicProvider:
    """One model of Anthropic's."""

    name = "anthropic"

    def __init__(
        self,
        *,
        model: str,
        key: str,
        base_url: str | None = None,
        effort: str | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Nothing is sent yet. `effort` None leaves the model its own."""
        self.model = model
        self._key = key
        self._effort = effort
        base_url = base_url or BASE_URL
        self._client = anthropic.Anthropic(
            api_key=key,
            base_url=base_url,
            max_retries=0,  # who asks decides, and the GPU works meanwhile
            timeout=httpx2.Timeout(silence_s, connect=CONNECT_S),
            http_client=anthropic.DefaultHttpxClient(
                trust_env=not is_loopback(base_url), event_hooks={"response": [hold_to_time]}
            ),
        )

    def ask(self, request: Request) -> Reply:
        """One answer, streamed to its end.

        Raises:
            ProviderError: there is none; which kind says what to do.
        """
        heard = _Heard()
        try:
            with self._client.messages.create(
                stream=True, max_tokens=request.max_output_tokens, **self._prompt(request)
            ) as stream:
                for event in stream:
                    heard.take(event.to_dict())
        except ProviderError as error:
            error.usage = heard.usage()
            raise
        except FAILURES as error:
            told = translate(error, self._key)
            if isinstance(told, Declined):
                return _declined(str(told), heard)
            told.usage = heard.usage()
            raise told from None  # the SDK's exception holds the request, and the key in its headers
        if not heard.ended:
            broken = TryAgain("anthropic: the answer broke off in the middle")
            broken.usage = heard.usage()
            raise broken
        return heard.reply()

    def count_tokens(self, request: Request) -> int:
        """By Anthropic's own counter, which is free; where that fails, the estimate."""
        try:
            counted = self._client.messages.count_tokens(timeout=COUNT_S, **self._prompt(request))
        except FAILURES:
            return estimate_request(request, BYTES_PER_TOKEN_CLAUDE)
        return counted.input_tokens

    def close(self) -> None:
        self._client.close()

    def _prompt(self, request: Request) -> dict[str, Any]:
        prompt: dict[str, Any] = {
            "model": self.model,
            "system": [{"type": "text", "text": request.system, "cache_control": HOUR}],
            "messages": _messages(request),
        }
        if request.tools:
            prompt["tools"] = [
                {
                    "name": tool.name,
                    "description": tool.description,
                    "strict": True,
                    "input_schema": strict_schema(tool.parameters),
                }
                for tool in request.tools
            ]
        if self._effort is not None:
            prompt["output_config"] = {"effort": self._effort}
            prompt["thinking"] = {"type": "adaptive"}
        return prompt


def translate(error: BaseException, key: str | None) -> ProviderError | Declined:
    """What one of the SDK's exceptions means."""
    if isinstance(error, (anthropic.CredentialsError, anthropic.WorkloadIdentityError)):
        return Stop(
            clean(f"anthropic: {type(error).__name__}: {error}", key),
            do="set ANTHROPIC_API_KEY, or KEY_FILE to a file that holds the key.",
        )
    if isinstance(error, anthropic.APIStatusError):
        return judge(
            Failure(
                provider="anthropic",
                status=error.status_code,
                kind=error.type or "",
                code=error.error_code or "",
                message=error.api_message or error.message,
                headers={name.lower(): value for name, value in error.response.headers.items()},
                key=key,
            )
        )
    return of_line("anthropic", error, key)


def strict_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema as strict mode takes it: closed objects, and bounds in words instead of keywords.

    The SDK's own `transform_schema` does the same, but fails on a list of types.
    """
    made = {name: value for name, value in schema.items() if name not in BOUNDS}
    bounds = [f"{name}: {json.dumps(schema[name])}" for name in BOUNDS if name in schema]
    if bounds:
        made["description"] = " ".join([str(schema.get("description", "")), *bounds]).strip()
    if isinstance(made.get("type"), list):
        kinds = made.pop("type")
        made = {"anyOf": [strict_schema({**made, "type": kind}) for kind in kinds]}
    if made.get("type") == "object":
        properties = made.get("properties") or {}
        made["properties"] = {name: strict_schema(part) for name, part in properties.items()}
        made["additionalProperties"] = False
    if isinstance(made.get("items"), dict):
        made["items"] = strict_schema(made["items"])
    if "anyOf" in made:
        made["anyOf"] = [strict_schema(part) for part in made["anyOf"]]
    return made


def _messages(request: Request) -> list[dict[str, Any]]:
    steady, rest = request.brief[: request.steady_chars], request.brief[request.steady_chars :]
    both = steady and rest.strip()
    parts = [(steady, HOUR), (rest, MINUTES)] if both else [(request.brief, HOUR)]
    brief = [{"type": "text", "text": text, "cache_control": mark} for text, mark in parts]
    messages: list[dict[str, Any]] = [{"role": "user", "content": brief}]
    for exchange in request.exchanges:
        said = exchange.reply.raw
        if exchange.uprooted:
            said = [block for block in said if block["type"] not in THOUGHTS]
        if said:  # a refusal may say nothing, and an empty turn is not accepted
            messages.append({"role": "assistant", "content": said})
        told: list[dict[str, Any]] = [
            {
                "type": "tool_result",
                "tool_use_id": result.call_id,
                "content": result.content,
                **({"is_error": True} if result.is_error else {}),
            }
            for result in exchange.results
        ]
        if exchange.text:
            told.append({"type": "text", "text": exchange.text})
        if told:
            messages.append({"role": "user", "content": told})
    if len(messages) > 1 and messages[-1]["role"] == "user":
        messages[-1]["content"][-1]["cache_control"] = MINUTES
    return messages


class _Heard:
    """An answer while it arrives."""

    def __init__(self) -> None:
        self.ended = False
        self._blocks: dict[int, dict[str, Any]] = {}
        self._written: dict[int, str] = {}  # the JSON of each call, as it came
        self._usage: dict[str, Any] | None = None
        self._stop: dict[str, Any] = {}

    def take(self, event: dict[str, Any]) -> None:
        """One event of the stream. A kind that is not known is passed over, as the API asks."""
        match event["type"]:
            case "message_start":
                self._usage = dict(event["message"].get("usage") or {})
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                self._grow(event["index"], event["delta"])
            case "message_delta":
                self._stop |= event["delta"]
                news = event.get("usage") or {}
                self._usage = (self._usage or {}) | {
                    name: count for name, count in news.items() if count is not None
                }
            case "message_stop":
                self.ended = True

    def _grow(self, index: int, delta: dict[str, Any]) -> None:
        block = self._blocks.get(index)
        if block is None:
            raise TryAgain("anthropic: a piece of an answer came without its beginning")
        match delta["type"]:
            case "text_delta":
                block["text"] = block.get("text", "") + delta["text"]
            case "thinking_delta":
                block["thinking"] = block.get("thinking", "") + delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta":
                self._written[index] = self._written.get(index, "") + delta["partial_json"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]

    def usage(self) -> Usage | None:
        """What was metered; None before anything was."""
        if self._usage is None:
            return None
        kept = self._usage.get("cache_creation") or {}
        return Usage(
            input_tokens=self._usage.get("input_tokens") or 0,
            cache_read_tokens=self._usage.get("cache_read_input_tokens") or 0,
            cache_write_tokens=self._usage.get("cache_creation_input_tokens") or 0,
            cache_write_short_tokens=kept.get("ephemeral_5m_input_tokens") or 0,
            output_tokens=self._usage.get("output_tokens") or 0,
        )

    def reply(self) -> Reply:
        """The whole answer."""
        raw: list[dict[str, Any]] = []
        calls: list[ToolCall] = []
        for index, block in sorted(self._blocks.items()):
            if block["type"] == "tool_use":
                written = self._written.get(index, "")
                arguments = read_object(written)
                # What goes back must be an object, also where the model's was none; the call says what was.
                block["input"] = arguments or {}
                calls.append(
                    ToolCall(
                        id=block["id"], name=block["name"], arguments=arguments, written=written
                    )
                )
            # A text of nothing but spaces is not taken back.
            if block["type"] != "text" or block.get("text", "").strip():
                raw.append(block)
        ending = ENDINGS.get(self._stop.get("stop_reason") or "", "done")
        text = "".join(block["text"] for block in raw if block["type"] == "text")
        if ending == "refused" and not text:
            details = self._stop.get("stop_details") or {}
            text = details.get("explanation") or details.get("category") or ""
        return Reply(
            text=text,
            calls=tuple(calls),
            ending=ending,
            usage=self.usage() or Usage(),
            raw=raw,
        )


def _declined(why: str, heard: _Heard) -> Reply:
    return Reply(text=why, calls=(), ending="refused", usage=heard.usage() or Usage(), raw=[])
