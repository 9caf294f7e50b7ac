"""A Story and its Details as they stand in a page.

Owns    JSON that cannot end the element it stands in, and details packed small
Takes   values of lab/story/shapes.py
Gives   texts of ASCII or plain UTF-8, the same for the same values
Never   drops or alters a text; what is no number (NaN, infinity) becomes null, as JSON has none
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.story.shapes import Detail

PACK = 50  # details in one pack: few enough to open at once, enough to pack well

# Inside <script> only `</script` and `<!--` mean something; without these characters neither can be written.
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_TRANSLATION = str.maketrans(_ESCAPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Some details, in the order of their numbers."""

    first: int
    last: int
    text: str  # base64 of the gzip of a JSON list


def as_json(value: object) -> str:
    """JSON of a dataclass or of what it is made of, safe inside a script element of any type."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _whole(text).translate(_TRANSLATION)


def pack_details(details: Sequence[Detail]) -> Iterator[Pack]:
    """The details in packs that a browser unpacks one at a time; no time stands in them."""
    ordered = sorted(details, key=lambda detail: detail.number)
    for start in range(0, len(ordered), PACK):
        part = ordered[start : start + PACK]
        packed = gzip.compress(as_json(part).encode(), compresslevel=9, mtime=0)
        yield Pack(
            first=part[0].number, last=part[-1].number, text=base64.b64encode(packed).decode()
        )


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _whole(text: str) -> str:
    """Half a surrogate pair has no UTF-8, and no place in a file."""
    return text.encode("utf-8", "replace").decode()
