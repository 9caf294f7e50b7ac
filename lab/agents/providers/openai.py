"""OpenAI's Responses API, by its official SDK.

Nothing is stored at OpenAI: the whole conversation goes with every request, reasoning as the encrypted items that
the model wrote. They are taken from `response.output_item.done`, where they are complete, and sent back unchanged.
OpenAI caches prefixes by itself; the key of the cache keeps a night's requests on the machines that have its prefix.
"""

from __future__ import annotations

import hashlib
from typing import Any

import httpx2
import openai

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
    CONNECT_S,
    COUNT_S,
    SILENCE_S,
    estimate_request,
    estimate_tokens,
    hold_to_time,
    read_object,
)

BASE_URL = "https://api.openai.com/v1"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# What may come out of a request: the SDK's own errors, those of the line that it lets out of a stream, and what
# a malformed event does to the SDK or to the code here.
FAILURES = (
    openai.OpenAIError,
    openai.InvalidWebhookSignatureError,
    httpx2.HTTPError,
    httpx2.StreamError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
FINISHED_BADLY = (openai.LengthFinishReasonError, openai.WebSocketConnectionClosedError)


class OpenAIProvider:
    """One model of OpenAI's."""

    name = "openai"

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
        self._client = open_client(key=key, base_url=base_url or BASE_URL, silence_s=silence_s)

    def ask(self, request: Request) -> Reply:
        """One answer, streamed to its end.

        Raises:
            ProviderError: there is none; which kind says what to do.
        """
        heard = _Heard(self._key)
        told: ProviderError | Declined
        try:
            with self._client.responses.create(
                stream=True,
                store=False,
                include=["reasoning.encrypted_content"],
                max_output_tokens=request.max_output_tokens,
                prompt_cache_key=_cache_key(request),
                **self._prompt(request),
            ) as stream:
                for event in stream:
                    heard.take(event.to_dict())
            return heard.reply()
        except (ProviderError, Declined) as error:
            told = error
        except FAILURES as error:
            told = translate(error, provider=self.name, key=self._key)
        # Outside of `except`: the SDK's exception holds the request, and the key in its headers.
        usage = heard.metered(request)
        if isinstance(told, Declined):
            return Reply(text=str(told), calls=(), ending="refused", usage=usage or Usage(), raw=[])
        told.usage = usage
        raise told

    def count_tokens(self, request: Request) -> int:
        """By OpenAI's own counter; where that fails, the estimate."""
        try:
            counted = self._client.responses.input_tokens.count(
                timeout=COUNT_S, **self._prompt(request)
            )
        except FAILURES:
            return estimate_request(request)
        return counted.input_tokens

    def close(self) -> None:
        self._client.close()

    def _prompt(self, request: Request) -> dict[str, Any]:
        prompt: dict[str, Any] = {
            "model": self.model,
            "instructions": request.system,
            "input": _items(request),
        }
        if request.tools:
            prompt["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "strict": True,
                    "parameters": {"additionalProperties": False, **tool.parameters},
                }
                for tool in request.tools
            ]
        if self._effort is not None:
            prompt["reasoning"] = {"effort": self._effort}
        return prompt


def open_client(*, key: str | None, base_url: str, silence_s: float) -> openai.OpenAI:
    """The SDK's client, without its retries: who asks decides, and the GPU works meanwhile."""
    return openai.OpenAI(
        api_key=key or "none",
        base_url=base_url,
        max_retries=0,
        timeout=httpx2.Timeout(silence_s, connect=CONNECT_S),
        http_client=openai.DefaultHttpxClient(
            trust_env=not is_loopback(base_url), event_hooks={"response": [hold_to_time]}
        ),
    )


def translate(error: BaseException, *, provider: str, key: str | None) -> ProviderError | Declined:
    """What one of the SDK's exceptions means."""
    if isinstance(error, openai.ContentFilterFinishReasonError):
        return Declined(clean(str(error), key))
    if isinstance(error, (openai.APIConnectionError, openai.APIResponseValidationError)):
        return of_line(provider, error, key)
    if isinstance(error, openai.APIError):  # of a status, or without one in the middle of a stream
        response = getattr(error, "response", None)
        return judge(
            Failure(
                provider=provider,
                status=getattr(error, "status_code", None),
                kind=error.type or "",
                code=error.code or "",
                message=message_of(error),
                headers={}
                if response is None
                else {name.lower(): value for name, value in response.headers.items()},
                key=key,
            )
        )
    if isinstance(error, openai.OpenAIError) and not isinstance(error, FINISHED_BADLY):
        return Stop(  # what is left is about how the client was set up, before anything was sent
            clean(f"{provider}: {type(error).__name__}: {error}", key),
            do="give a plain key, in the environment or as KEY_FILE.",
        )
    return of_line(provider, error, key)


def message_of(error: openai.APIError) -> str:
    """The server's own words. Servers that are only compatible write them in several places."""
    body = error.body
    if isinstance(body, list) and body:  # Gemini answers with a list of one
        body = body[0]
    if isinstance(body, dict):
        inner = body.get("error", body)
        found = inner.get("message") if isinstance(inner, dict) else inner
        if isinstance(found, str) and found:
            return found
    return error.message


def _cache_key(request: Request) -> str:
    stable = "\0".join([request.system, *(tool.name for tool in request.tools)])
    return f"nightlab-{hashlib.sha256(stable.encode()).hexdigest()[:16]}"


def _items(request: Request) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [{"role": "user", "content": request.brief}]
    for exchange in request.exchanges:
        items += exchange.reply.raw
        items += [
            {
                "type": "function_call_output",
                "call_id": result.call_id,
                # There is no flag for a failure, so the words have to say it.
                "output": f"Error: {result.content}" if result.is_error else result.content,
            }
            for result in exchange.results
        ]
        if exchange.text:
            items.append({"role": "user", "content": exchange.text})
    return items


class _Heard:
    """An answer while it arrives."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._items: dict[int, dict[str, Any]] = {}
        self._end: dict[str, Any] | None = None  # the response as its last event has it
        self._begun = False
        self._pieces: list[str] = []  # of whatever was written
        self._counted: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> None:
        """One event of the stream; a text comes in pieces and again as a whole, which is the one that counts.

        Raises:
            ProviderError: the server says that it failed.
            Declined: the server would not answer this request.
        """
        match event["type"]:
            case "response.output_item.added":
                self._begun = True
            case "response.output_item.done":
                self._items[event["output_index"]] = event["item"]
            case "response.completed" | "response.incomplete":
                self._end = event["response"]
            case "response.failed":
                self._counted = event["response"].get("usage")
                raise self._failed(event["response"].get("error") or {})
            case "error":
                raise self._failed(event)
        if isinstance(event.get("delta"), str):
            self._pieces.append(event["delta"])

    def metered(self, request: Request) -> Usage | None:
        """What an answer took that came to nothing: as OpenAI counted it, else estimated; None before it began."""
        if self._counted:
            return _usage(self._counted)
        if not self._begun:
            return None
        return Usage(
            input_tokens=estimate_request(request),
            output_tokens=estimate_tokens("".join(self._pieces)),
        )

    def _failed(self, error: dict[str, Any]) -> ProviderError | Declined:
        return judge(
            Failure(
                provider="openai",
                status=None,
                code=str(error.get("code") or ""),
                message=str(error.get("message") or ""),
                key=self._key,
            )
        )

    def reply(self) -> Reply:
        """The whole answer.

        Raises:
            TryAgain: the stream ended before the answer did.
        """
        if self._end is None:
            raise TryAgain("openai: the answer broke off in the middle")
        raw = [item for _, item in sorted(self._items.items())] or list(
            self._end.get("output") or []
        )
        # A thought is not taken back without what it led to.
        while raw and raw[-1]["type"] == "reasoning":
            raw.pop()
        parts = [
            part for item in raw if item["type"] == "message" for part in item.get("content") or []
        ]
        refusals = [part["refusal"] for part in parts if part["type"] == "refusal"]
        texts = [part["text"] for part in parts if part["type"] == "output_text"]
        calls = tuple(
            ToolCall(
                id=item["call_id"],
                name=item["name"],
                arguments=read_object(item["arguments"]),
                written=item["arguments"],
            )
            for item in raw
            if item["type"] == "function_call"
        )
        ending: Ending = "tools" if calls else "done"
        reason = (self._end.get("incomplete_details") or {}).get("reason")
        if refusals or reason == "content_filter":
            ending = "refused"
        elif self._end.get("status") == "incomplete":
            ending = "length"
        return Reply(
            text="".join(texts or refusals),
            calls=calls,
            ending=ending,
            usage=_usage(self._end.get("usage") or {}),
            raw=raw,
        )


def _usage(counted: dict[str, Any]) -> Usage:
    details = counted.get("input_tokens_details") or {}
    read = details.get("cached_tokens") or 0
    written = details.get("cache_write_tokens") or 0
    return Usage(
        input_tokens=max(0, (counted.get("input_tokens") or 0) - read - written),
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=counted.get("output_tokens") or 0,
    )
