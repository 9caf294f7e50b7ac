"""What a scripted model server does with one request, whichever provider's words it then uses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["anthropic", "openai", "compatible"]
KINDS: tuple[Kind, ...] = ("anthropic", "openai", "compatible")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a tool."""

    name: str
    arguments: dict[str, Any] | str  # a string is sent as it is, JSON or not
    extra: dict[str, Any] = field(default_factory=dict)  # unknown fields, such as a signature

    @property
    def written(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer in a stream."""

    text: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    ending: Literal["length", "refused"] | None = None  # None: as the content has it
    refusal: str = ""
    signature: str = ""  # of the thought; a server that binds thoughts to a conversation signs it
    counts: bool = True  # whether the server reports its usage
    new: int | None = None  # tokens that it says it read anew; None: NEW, or what a long prompt has
    # How the stream breaks in the middle: the connection drops, the stream just ends, an error is sent.
    breaks: Literal["drop", "end", "overloaded", "server_error"] | None = None
    silent_s: float = 0.0  # before the first byte
    pings_s: float = 0.0  # for how long nothing comes but signs of life
    one_index: bool = False  # every call of a set gets the index 0, as Gemini does it


@dataclass(frozen=True, kw_only=True)
class Fail:
    """A refusal instead of an answer; `why` is a key of FAILURES of the provider's wire module."""

    why: str
    headers: dict[str, str] = field(default_factory=dict)


Step = Answer | Fail

# What every answer is said to have taken, in tokens that do not overlap.
NEW, READ, WRITTEN, SAID = 120, 800, 64, 48
