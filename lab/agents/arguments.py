"""What a model may call, and with what: the schemas it is shown, and the check of what it writes.

Owns    the names, descriptions and arguments of the tools
Takes   arguments as a model wrote them
Gives   Tools for a provider, and checked arguments
Never   does what is asked; that is the desk

A schema is shown in its strictest form, which every provider takes: all properties required, none besides, no
null. What comes back is read with patience: a small local model leaves out what has a plain default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.agents.edits import Block
from lab.agents.providers import Tool
from lab.agents.table import Order, Which

Files = Literal["train.py", "best train.py", "program.md", "contract", "prepare.py", "experiment"]


class Arguments(BaseModel):
    """Of one tool; the docstring of each is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReadFile(Arguments):
    """Read a file, whole or some lines. `train.py` is your draft as it stands now."""

    file: Files
    number: Annotated[
        int, Field(description='Of the experiment, for file "experiment"; else 0')
    ] = 0
    first_line: Annotated[int, Field(description="1 for the whole file")] = 1
    last_line: Annotated[int, Field(description="0 for the whole file")] = 0


class History(Arguments):
    """List earlier experiments: all of them, or those with one outcome or with a word in their title,
    hypothesis or reason. "near" gained within the noise; "failed" has no score.
    """

    which: Which = "all"
    contains: Annotated[str, Field(description='A word to look for, "" for any')] = ""
    order: Order = "newest"
    most: Annotated[int, Field(ge=1, le=200, description="1 to 200 lines")] = 50


class Experiment(Arguments):
    """Look at one earlier experiment: its change, outcome, loss curve and the end of its log."""

    number: int


class EditTrain(Arguments):
    """Change your draft of train.py, by search/replace blocks or by a whole new file.

    Each block's `find` must stand exactly once in the draft, to the character, indentation included. If one
    block does not fit, none is applied. Prefer blocks: a whole file costs more and loses what it forgets.
    """

    edits: Annotated[tuple[Block, ...], Field(description="[] when whole_file is given")] = ()
    whole_file: Annotated[str, Field(description='"" when edits are given')] = ""


class Submit(Arguments):
    """Submit the draft as the next experiment. This ends your turn; the result is in the next brief."""

    title: Annotated[str, Field(min_length=1, description="One line: what was changed")]
    hypothesis: Annotated[str, Field(min_length=1, description="Why it should lower val_bpb")]
    expected_effect: Annotated[
        str, Field(description="What you expect to see, and what would prove you wrong")
    ] = ""


class Note(Arguments):
    """Write a line into the notebook that you will see before every later proposal: what was learned."""

    text: Annotated[str, Field(min_length=1)]


ARGUMENTS: dict[str, type[Arguments]] = {
    "read_file": ReadFile,
    "history": History,
    "experiment": Experiment,
    "edit_train": EditTrain,
    "submit": Submit,
    "note": Note,
}

# Bounds such as `minimum` are refused by some providers' strict mode; pydantic checks them here.
_SHOWN = ("type", "description", "enum", "const", "items")


def list_tools() -> tuple[Tool, ...]:
    """Every tool, always the same and in the same order, so that a provider's cache keeps them."""
    return tuple(
        Tool(
            name=name,
            description=" ".join((kind.__doc__ or "").split()),
            parameters=_strict(kind.model_json_schema(), {}),
        )
        for name, kind in ARGUMENTS.items()
    )


def _strict(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A schema without references, defaults and bounds, every property required."""
    known = known | schema.get("$defs", {})
    if "$ref" in schema:
        named = known[schema["$ref"].rpartition("/")[2]]
        return _strict(named, known)
    shown: dict[str, Any] = {name: schema[name] for name in _SHOWN if name in schema}
    if "items" in shown:
        shown["items"] = _strict(shown["items"], known)
    if schema.get("type") == "object":
        shown.pop("description", None)  # it is the tool's own, said once
        shown["properties"] = {
            name: _strict(inner, known) for name, inner in schema["properties"].items()
        }
        shown["required"] = list(schema["properties"])
        shown["additionalProperties"] = False
    return shown
