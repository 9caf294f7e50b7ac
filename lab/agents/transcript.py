"""What was said between the lab and a model, kept for whoever wonders in the morning.

Owns    transcript.jsonl.gz of one proposal: every new message and every answer, one JSON line each
Takes   lines, as plain values, and the shape of two of them
Gives   them back; and what an interrupted conversation had already cost
Never   ends a night: a line that finds the disk full is counted as lost

Each line is a gzip member of its own, so the file is whole after every line, and a power cut takes one at most.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.agents.providers import Exchange, Reply
from lab.agents.spending import total
from lab.redaction import plain

MAX_FILE_BYTES = 4 * 2**20  # compressed; a long conversation takes a few hundred kB
MAX_TEXT_CHARS = 400_000  # of one value; a whole brief fits

# What a line keeps when the file is full: the money.
ALWAYS = ("kind", "usd", "tokens")


class Transcript:
    """An open transcript; `path` None keeps nothing."""

    def __init__(self, path: Path | None, *, secrets: Sequence[str] = ()) -> None:
        self._path = path
        self._secrets = tuple(secrets)
        self.lost = 0  # lines that could not be written

    def write(self, kind: str, facts: Mapping[str, object]) -> None:
        """Add one line."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                line = {"kind": kind, **facts}
                if file.tell() >= MAX_FILE_BYTES:
                    line = {name: line[name] for name in ALWAYS if name in line}
                file.write(gzip.compress(self._encode(line), mtime=0))
        except (OSError, ValueError):
            self.lost += 1

    def mend(self) -> None:
        """Take away a line that a power cut tore, so that what follows can be read."""
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()
            whole = max((end for _, end in _members(content)), default=0)
            if whole < len(content):
                with self._path.open("r+b") as file:
                    file.truncate(whole)
        except FileNotFoundError:
            return
        except OSError:
            self.lost += 1

    def _encode(self, line: Mapping[str, object]) -> bytes:
        # `tokens` are counted, and numbers are never secrets; only texts are looked at.
        kept = plain(line, known=self._secrets, longest=MAX_TEXT_CHARS)
        assert isinstance(kept, dict)
        stamped = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **kept}
        return json.dumps(stamped, ensure_ascii=True).encode() + b"\n"


def read_transcript(path: Path) -> list[dict[str, Any]]:
    """Every line of a transcript, oldest first; what a power cut tore is left out.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    lines = []
    for text, _ in _members(path.read_bytes()):
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict)]


def spent_in(path: Path | None) -> tuple[float | None, int]:
    """What the answers in a transcript took: USD, None when some had no known price, and tokens."""
    if path is None:
        return 0.0, 0
    try:
        lines = read_transcript(path)
    except OSError:
        return 0.0, 0
    answers = [line for line in lines if isinstance(line.get("tokens"), int)]
    prices = [line.get("usd") for line in answers]
    known = [float(price) for price in prices if isinstance(price, int | float)]
    usd = sum(known) if len(known) == len(prices) else None
    return usd, sum(line["tokens"] for line in answers)


def answer_facts(reply: Reply, usd: float | None) -> Mapping[str, object]:
    """An answer as a line of the transcript, with what it took."""
    return {
        "usd": usd,
        "tokens": total(reply.usage),
        "usage": {
            "input": reply.usage.input_tokens,
            "cache_read": reply.usage.cache_read_tokens,
            "cache_write": reply.usage.cache_write_tokens,
            "output": reply.usage.output_tokens,
        },
        "ending": reply.ending,
        "text": reply.text,
        "calls": [{"name": call.name, "written": call.written} for call in reply.calls],
    }


def told_facts(exchange: Exchange) -> Mapping[str, object]:
    """What a model was told in return."""
    return {
        "text": exchange.text,
        "results": [
            {"name": result.name, "is_error": result.is_error, "content": result.content}
            for result in exchange.results
        ],
    }


def _members(content: bytes) -> Iterator[tuple[bytes, int]]:
    """What each whole member holds, and where it ends; a torn one ends the file."""
    start = 0
    while start < len(content):
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            text = member.decompress(content[start:])
        except zlib.error:
            return
        if not member.eof:
            return
        start = len(content) - len(member.unused_data)
        yield text, start
