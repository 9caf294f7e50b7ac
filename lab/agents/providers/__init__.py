"""Model providers: each in one file, behind one small interface.

    anthropic    the Messages API, by its official SDK
    openai       the Responses API, by its official SDK
    compatible   Chat Completions of any server that speaks them: vLLM, llama.cpp, Ollama, Gemini, OpenRouter

Owns    the shape of what is asked and answered, and what an error means to a night
Takes   a Request
Gives   a Reply
Never   knows what research is, decides to retry, or lets one of an SDK's exceptions out

ProviderError
├── TryAgain      the line or the server failed; the same request may work at once
├── Wait          too many requests, or an overloaded server; the same request works later
├── TooLong       the request does not fit into the model's context; a shorter one works
│   └── AnswerTooLong   the model never answers at the length that was asked for
└── Stop          a wrong key, no credit, no such model: nothing works before a person acts
    └── NotUnderstood   a request that makes no sense to the server: its settings, or this conversation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

Ending = Literal["done", "tools", "length", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What a model may call."""

    name: str
    description: str
    parameters: dict[str, Any]  # JSON Schema of an object: every property required, none besides


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What a model wants to call. Its arguments are what it wrote, not yet what the tool wants."""

    id: str
    name: str
    arguments: dict[str, Any] | None  # None when they were no JSON object
    written: str  # the arguments as they came, for the message that says so


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call gave."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one request took, in tokens. The four do not overlap."""

    input_tokens: int = 0  # read anew, at the full price
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0  # thinking included

    # Of the cache writes, those kept for minutes instead of an hour, at a lower price. Not a fifth kind.
    cache_write_short_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model said."""

    text: str
    calls: tuple[ToolCall, ...]
    ending: Ending
    usage: Usage
    raw: Any  # the message as the provider wrote it, to be sent back unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One turn that has passed: what the model said, and what it was told then."""

    reply: Reply
    results: tuple[ToolResult, ...]  # one for each call, in their order
    text: str = ""  # the user's words; beside results, or alone where nothing was called
    # What stood before it was shortened since: thoughts that a provider bound to that are not taken back.
    uprooted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A conversation so far. What is stable comes first, so that a provider's cache can keep it."""

    system: str  # the same all night
    brief: str  # the same through one proposal
    exchanges: tuple[Exchange, ...]
    tools: tuple[Tool, ...]
    max_output_tokens: int
    steady_chars: int = (
        0  # the brief's beginning, with which the next proposal's is likely to begin too
    )


class ProviderError(Exception):
    """A request that was not answered; the text says why, without keys."""

    usage: Usage | None = None  # what was already metered when an answer broke off; it is charged


class TryAgain(ProviderError):
    """The line or the server failed in between."""


class Wait(ProviderError):
    """Not now. `after_s` is what the server asked for; None when it did not say."""

    def __init__(self, why: str, *, after_s: float | None) -> None:
        super().__init__(why)
        self.after_s = after_s


class TooLong(ProviderError):
    """The request does not fit into the model's context."""


class AnswerTooLong(TooLong):
    """The answer asked for is longer than any of this model. `most_tokens` is its limit; None: it did not say."""

    def __init__(self, why: str, *, most_tokens: int | None) -> None:
        super().__init__(why)
        self.most_tokens = most_tokens


class Stop(ProviderError):
    """Nothing works before a person acts; `do` says what."""

    def __init__(self, why: str, *, do: str) -> None:
        super().__init__(why)
        self.do = do


class NotUnderstood(Stop):
    """The server finds the request wrong. Where it has answered before, the settings are not why."""


class Provider(Protocol):
    """One model of one provider."""

    name: str  # "anthropic", "openai" or "compatible"
    model: str

    def ask(self, request: Request) -> Reply:
        """One answer, streamed to its end.

        Raises:
            ProviderError: there is none; which kind says what to do.
        """

    def count_tokens(self, request: Request) -> int:
        """How long a request is, in tokens; an estimate that is rather too high than too low.

        Called before every request, and several times while a brief is fitted.

        Raises:
            ProviderError: as `ask`, where counting needs the provider.
        """
