"""What the providers' clients have in common: timeouts, whose proxies, and how long a text is.

Owns    the figures of the connection, the end of an endless answer, and the estimate of tokens where nobody counts
Never   imports an SDK
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from lab.agents.providers import Request

CONNECT_S = 10.0
# The longest silence inside an answer. A model that thinks, or a local one that reads a long prompt, sends
# nothing for minutes; a line that died sends nothing for ever.
SILENCE_S = 600.0
ANSWER_S = 3600.0  # the whole answer: a server that drips for ever would hold the night
COUNT_S = 20.0  # counting tokens is a courtesy; the estimate is at hand

# Python and English take between three and four bytes a token with today's vocabularies, Claude's newer ones
# fewer. The side to be wrong on: a prompt that is cut too early costs little, one that does not fit a request.
BYTES_PER_TOKEN = 3.0
BYTES_PER_TOKEN_CLAUDE = 2.5
TOKENS_PER_MESSAGE = 8  # roles and separators


class _Timed(httpx2.SyncByteStream):
    """What a server sends, until its time is up."""

    def __init__(self, stream: httpx2.SyncByteStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._ends = time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            if time.monotonic() > self._ends:
                raise httpx2.ReadTimeout(f"the answer was not complete in {self._seconds:g} s")
            yield piece

    def close(self) -> None:
        self._stream.close()


def hold_to_time(response: httpx2.Response) -> None:
    """Break an answer off that takes longer than any should; a hook for the SDKs' clients.

    It sits where the bytes arrive: neither SDK hands on the pings that a server may send for ever.
    """
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = _Timed(response.stream, ANSWER_S)


def read_object(written: str) -> dict[str, Any] | None:
    """The arguments of a call as a model wrote them; None when they are no JSON object."""
    try:
        read = json.loads(written or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def estimate_tokens(text: str, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """How many tokens a text is at most, nearly always."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / bytes_per_token)


def estimate_request(request: Request, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """How many tokens a request is at most, nearly always: what is said, called, answered and thought."""
    parts = [request.system, request.brief]
    parts += [tool.name + tool.description + json.dumps(tool.parameters) for tool in request.tools]
    for exchange in request.exchanges:
        parts += [json.dumps(exchange.reply.raw, ensure_ascii=False), exchange.text]
        parts += [result.content for result in exchange.results]
    return sum(estimate_tokens(part, bytes_per_token) + TOKENS_PER_MESSAGE for part in parts)
