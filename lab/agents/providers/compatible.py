"""Chat Completions of any server that speaks them, by OpenAI's SDK: vLLM, llama.cpp, Ollama, Gemini, OpenRouter.

They agree on little beyond the outline, so nothing optional is sent, and everything that comes is kept: the message
is put together field by field, known or not, and goes back as it came. Gemini 3 refuses to go on without the thought
signatures that it hangs on its calls. A server or a model without tools is asked in plain text (see plain.py),
from its first refusal on.
"""

from __future__ import annotations

import re
from typing import Any

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
from lab.agents.providers.failures import Declined, Failure, judge
from lab.agents.providers.line import (
    SILENCE_S,
    estimate_request,
    estimate_tokens,
    read_object,
)
from lab.agents.providers.openai import FAILURES, message_of, open_client, translate
from lab.agents.providers.plain import describe_tools, quote_results, read_calls

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

# Texts that a stream brings in pieces. Anything else comes whole, and the last one counts.
IN_PIECES = {"content", "refusal", "reasoning", "reasoning_content", "arguments", "text", "summary"}
NO_TOOLS_STATUS = {400, 404, 405, 415, 422, 500, 501}
NO_TOOLS = re.compile(
    r"tool.{0,80}(support|enable|requires?|unknown|unexpected|unrecogni|not allowed|not permitted|--jinja)"
    r"|(support|enable|unknown|unexpected|unrecogni|extra).{0,80}\btool",
    re.IGNORECASE | re.DOTALL,
)


# A server whose context is too small for a prompt may cut it and say nothing. By our estimate real tokenizers count 75
# to 96 % of a brief (cl100k, o200k, DeepSeek's, Claude's old one; without and with 300 experiments in it).
LEAST_SHARE_READ = 0.5
TELLING_TOKENS = 6_000  # a shorter prompt fits everywhere, and its estimate is rough


class CompatibleProvider:
    """One model of a server that speaks Chat Completions."""

    name = "compatible"

    def __init__(
        self,
        *,
        model: str,
        base_url: str,
        key: str | None = None,
        effort: str | None = None,
        tools: bool = True,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Nothing is sent yet. Without `tools` the server is asked in plain text from the start."""
        self.model = model
        self._key = key
        self._effort = effort
        self._tools = tools
        self._reads_all = False  # whether the server was seen to read a whole prompt
        # What the SDK would send by itself: a made-up key, and the names of an account at OpenAI.
        names = ["OpenAI-Organization", "OpenAI-Project", *([] if key else ["Authorization"])]
        self._withheld = {name: openai.Omit() for name in names}
        self._client = open_client(key=key, base_url=base_url, silence_s=silence_s)

    def ask(self, request: Request) -> Reply:
        """One answer, streamed to its end.

        Raises:
            ProviderError: there is none; which kind says what to do.
        """
        heard = _Heard(self._key)
        told: ProviderError | Declined | None
        try:
            return self._ask(request, heard)
        except ProviderError as error:
            told = error
        except FAILURES as error:
            called = any(exchange.reply.calls for exchange in request.exchanges)
            if self._tools and request.tools and not called and _has_no_tools(error):
                self._tools = False
                told = None
            else:
                told = translate(error, provider=self.name, key=self._key)
        # Outside of `except`: the SDK's exception holds the request, and the key in its headers.
        if told is None:
            return self.ask(request)
        usage = heard.metered(request)
        if isinstance(told, Declined):
            return Reply(
                text=str(told), calls=(), ending="refused", usage=usage or Usage(), raw=None
            )
        told.usage = usage
        raise told

    def count_tokens(self, request: Request) -> int:
        """The estimate: there is no counter that all these servers have."""
        return estimate_request(request)

    def close(self) -> None:
        self._client.close()

    def _ask(self, request: Request, heard: _Heard) -> Reply:
        with self._client.chat.completions.create(
            model=self.model,
            messages=_messages(request, tools=self._tools),
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=request.max_output_tokens,
            extra_headers=self._withheld,
            **self._options(request),
        ) as stream:
            for chunk in stream:
                heard.take(chunk.to_dict())
        reply = heard.reply(request)
        self._check_all_was_read(reply.usage, estimate_request(request))
        if self._tools or not request.tools or reply.ending == "refused":
            return reply
        calls = read_calls(reply.text, request.tools)
        ending: Ending = "tools" if calls and reply.ending == "done" else reply.ending
        return Reply(text=reply.text, calls=calls, ending=ending, usage=reply.usage, raw=reply.raw)

    def _check_all_was_read(self, usage: Usage, expected_tokens: int) -> None:
        """Find out at the first long prompt, of which no server has a part in its cache yet.

        Raises:
            Stop: the server cut the prompt.
        """
        read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        if self._reads_all or not read or expected_tokens < TELLING_TOKENS:
            return
        if read < LEAST_SHARE_READ * expected_tokens:
            raise Stop(
                f"compatible: the server read {read:,} tokens of a prompt of about {expected_tokens:,}; it cut "
                "the rest off, and the model never saw it.",
                do="give it a larger context, OLLAMA_CONTEXT_LENGTH=65536 for Ollama or --ctx-size 65536 for "
                "llama.cpp, restart it, and resume the night.",
            )
        self._reads_all = True

    def _options(self, request: Request) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self._effort is not None:
            options["reasoning_effort"] = self._effort
        if request.tools and self._tools:
            options["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.parameters,
                    },
                }
                for tool in request.tools
            ]
        return options


def _has_no_tools(error: BaseException) -> bool:
    """Whether a server refused a request because it has no tools, or has them switched off."""
    return (
        isinstance(error, openai.APIStatusError)
        and error.status_code in NO_TOOLS_STATUS
        and NO_TOOLS.search(message_of(error)) is not None
    )


def _messages(request: Request, *, tools: bool) -> list[Any]:
    system = request.system
    if request.tools and not tools:
        system = f"{system}\n\n{describe_tools(request.tools)}"
    messages: list[Any] = [
        {"role": "system", "content": system},
        {"role": "user", "content": request.brief},
    ]
    for exchange in request.exchanges:
        if exchange.reply.raw is not None:
            messages.append(exchange.reply.raw)
        text = exchange.text
        if tools:
            messages += [
                {
                    "role": "tool",
                    "tool_call_id": result.call_id,
                    "content": f"Error: {result.content}" if result.is_error else result.content,
                }
                for result in exchange.results
            ]
        else:
            text = "\n\n".join(part for part in (quote_results(exchange.results), text) if part)
        if text:
            messages.append({"role": "user", "content": text})
    return messages


class _Heard:
    """An answer while it arrives."""

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._message: dict[str, Any] = {"role": "assistant"}
        self._calls: list[dict[str, Any]] = []
        self._at: dict[Any, dict[str, Any]] = {}  # the call that each index of the stream means now
        self._usage: dict[str, Any] | None = None
        self._finish: str | None = None

    def take(self, chunk: dict[str, Any]) -> None:
        """One chunk of the stream."""
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            delta = dict(choice.get("delta") or {})
            for call in delta.pop("tool_calls", None) or []:
                self._take_call(dict(call))
            _merge(self._message, delta)
            self._finish = choice.get("finish_reason") or self._finish

    def _take_call(self, piece: dict[str, Any]) -> None:
        index = piece.pop("index", None)
        call = self._at.get(index)
        # Gemini gives every call of a parallel set the index 0, so another id begins another call.
        if call is None or (piece.get("id") and piece["id"] != call.get("id")):
            call = {}
            self._calls.append(call)
            self._at[index] = call
        _merge(call, piece)

    def reply(self, request: Request) -> Reply:
        """The whole answer.

        Raises:
            TryAgain: the stream ended before the answer did.
            ProviderError: the answer says that it failed.
        """
        if self._finish is None:
            raise TryAgain("compatible: the answer broke off in the middle")
        if self._finish == "error":  # OpenRouter, when the server behind it failed
            failed = judge(
                Failure(
                    provider="compatible", status=None, message="the model failed", key=self._key
                )
            )
            raise failed
        for number, call in enumerate(self._calls, start=1):
            if not call.get("id"):
                call["id"] = f"call_{number}"
            call.setdefault("type", "function")
        if self._calls:
            self._message["tool_calls"] = self._calls
        self._message.setdefault("content", None if self._calls else "")
        text = self._message["content"] or self._message.get("refusal") or ""
        calls = tuple(_call(call) for call in self._calls)
        return Reply(
            text=text,
            calls=calls,
            ending=self._ending(),
            usage=self._counted(request),
            raw=self._message,
        )

    def _ending(self) -> Ending:
        if self._finish == "content_filter" or self._message.get("refusal"):
            return "refused"
        if self._finish == "length":
            return "length"
        return "tools" if self._calls else "done"

    def metered(self, request: Request) -> Usage | None:
        """What an answer took that came to nothing; None before it began."""
        begun = self._usage or self._calls or len(self._message) > 1
        return self._counted(request) if begun else None

    def _counted(self, request: Request) -> Usage:
        """As the server counted, or estimated where it does not."""
        if self._usage is None:
            said = [self._message.get(name) or "" for name in ("content", "reasoning_content")]
            said += [_call(call).written for call in self._calls]
            return Usage(
                input_tokens=estimate_request(request),
                output_tokens=sum(map(estimate_tokens, said)),
            )
        details = self._usage.get("prompt_tokens_details") or {}
        read = details.get("cached_tokens") or 0
        written = details.get("cache_write_tokens") or 0
        prompt = self._usage.get("prompt_tokens") or 0
        # Gemini leaves thinking out of `completion_tokens`, and has it in the total.
        total = self._usage.get("total_tokens") or 0
        return Usage(
            input_tokens=max(0, prompt - read - written),
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=max(self._usage.get("completion_tokens") or 0, total - prompt),
        )


def _call(call: dict[str, Any]) -> ToolCall:
    function = call.get("function") or {}
    written = function.get("arguments") or ""
    return ToolCall(
        id=call["id"],
        name=function.get("name") or "",
        arguments=read_object(written),
        written=written,
    )


def _merge(whole: dict[str, Any], piece: dict[str, Any]) -> None:
    """Add what a chunk brings, field by field, whether or not the field is known."""
    for name, value in piece.items():
        have = whole.get(name)
        if value is None:
            whole.setdefault(name, None)
        elif isinstance(value, dict) and isinstance(have, dict):
            _merge(have, value)
        elif isinstance(value, list) and isinstance(have, list):
            _merge_list(have, value)
        elif name in IN_PIECES and isinstance(have, str) and isinstance(value, str):
            whole[name] = have + value
        else:
            whole[name] = value


def _merge_list(whole: list[Any], pieces: list[Any]) -> None:
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, dict) else None
        same = [
            item
            for item in whole
            if index is not None and isinstance(item, dict) and item.get("index") == index
        ]
        if same:
            _merge(same[0], piece)
        else:
            whole.append(piece)
