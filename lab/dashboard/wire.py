"""What goes over the wire: values as JSON, and an answer for each way that a request can fail.

Owns    which status a trouble has, and its words
Never   shows a stack trace, or where on this host the campaigns lie
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response

from lab.errors import LabError
from lab.story.shapes import Story

_log = logging.getLogger(__name__)


class Problem(Exception):
    """A request that is not answered: its status, and a sentence for a person."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def as_json(value: object) -> bytes:
    """Dataclasses, dicts and sequences as JSON; what is not finite becomes null, as browsers know no NaN."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        # A text that no UTF-8 holds, such as half a surrogate pair: as escapes a browser reads it.
        plain = json.loads(json.dumps(value, default=_plain), parse_constant=lambda _: None)
        return json.dumps(plain).encode("ascii")


def head_of(story: Story) -> bytes:
    """A Story without its rows, which grow with every experiment, as JSON."""
    fields = {f.name: getattr(story, f.name) for f in dataclasses.fields(story) if f.name != "rows"}
    return as_json(fields)


def answer(value: object, status: int = 200) -> Response:
    """`value` as an answer."""
    return raw_answer(as_json(value), status)


def raw_answer(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type="application/json")


def refuse(status: int, sentence: str) -> Response:
    return answer({"error": sentence}, status)


def in_words(error: LabError | OSError, runs: Path) -> str:
    """What is wrong, without the folder of this host in it."""
    if isinstance(error, OSError):
        return f"the disk did not do it: {error.strerror or type(error).__name__}."
    words = " ".join(part for part in (error.what, error.why, error.do) if part)
    return words.replace(f"{runs}/", "").replace(f"{runs.resolve()}/", "")


def what_broke(error: Exception, folder: Path) -> str:
    """Why a campaign cannot be read. A fault of ours is told at the terminal, too."""
    if isinstance(error, LabError | OSError):
        return in_words(error, folder.parent)
    _log.error("the campaign %s cannot be read", folder.name, exc_info=error)
    return (
        f"it cannot be read ({type(error).__name__}); the terminal of this page's server says more."
    )


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not of a page's shapes")
