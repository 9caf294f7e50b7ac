"""What a reader may do to a campaign: end its night, pin a note for the agent, hand in a train.py.

Owns    what a request to do so must look like, and what is said when it is done
Takes   the body of a request, bounded
Gives   a sentence
Never   touches a file of the campaign by itself, but STOP
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from lab.dashboard.gate import MOST_BODY_BYTES
from lab.dashboard.wire import Problem, in_words
from lab.errors import BadInput, LabError
from lab.facts import FACTS_FILE
from lab.inbox import Refused, Submission
from lab.interrupts import STOP_FILE
from lab.mcp.desk import Desk
from lab.notes import pin_note
from lab.runs import is_running

MOST_TEXT = (
    100_000  # characters of anything that is handed in; what takes it says how much it wants
)


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Stop(_Asked):
    when: Literal["after", "now"]


class Note(_Asked):
    text: Annotated[str, Field(max_length=MOST_TEXT)]


class Queue(_Asked):
    title: Annotated[str, Field(max_length=MOST_TEXT)]
    hypothesis: Annotated[str, Field(max_length=MOST_TEXT)] = ""
    train_py: Annotated[str, Field(max_length=MOST_TEXT)]


Asked = TypeVar("Asked", bound=_Asked)


async def read_body(request: Request, shape: type[Asked]) -> Asked:
    """The body of a request.

    Raises:
        Problem: it is too large, or not of that shape.
    """
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > MOST_BODY_BYTES:
                raise Problem(413, f"a request has at most {MOST_BODY_BYTES:,} bytes.")
    except ClientDisconnect:
        raise Problem(400, "the request broke off.") from None
    try:
        return shape.model_validate_json(bytes(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Problem(422, f"{where or 'the request'}: {first['msg']}.") from None


def stop(folder: Path, asked: Stop) -> str:
    """Ask the night that runs this campaign to end.

    Raises:
        Problem: no night runs it.
    """
    if not is_running(folder):
        raise Problem(409, f"no night runs {folder.name} now, so there is nothing to stop.")
    draft = folder / f".{STOP_FILE}"
    try:
        draft.write_text(f"{asked.when}\n")
        draft.replace(folder / STOP_FILE)  # a night that looks meanwhile sees all of it or none
    except OSError as error:
        raise Problem(409, f"nothing was asked: {in_words(error, folder.parent)}") from error
    then = f"`rm runs/{folder.name}/{STOP_FILE}` before it goes on another time"
    if asked.when == "now":
        return (
            f"The night stops now; the unfinished experiment is run again when it goes on. {then}."
        )
    return f"The night ends after this experiment. {then}."


def pin(folder: Path, asked: Note) -> str:
    """Pin a note for the agent.

    Raises:
        Problem: it cannot be pinned.
    """
    _refuse_imported(folder, "has no agent that would read a note")
    try:
        pin_note(folder, asked.text)
    except BadInput as error:
        raise Problem(422, in_words(error, folder.parent)) from error
    except (LabError, OSError) as error:
        raise Problem(409, in_words(error, folder.parent)) from error
    heard = (
        "with its next idea" if is_running(folder) else "when a night goes on with this campaign"
    )
    return f"Pinned: the agent reads it {heard}."


def queue(folder: Path, program: Path, asked: Queue) -> str:
    """Put a train.py in line, as `lab submit` does.

    Raises:
        Problem: it cannot be run.
    """
    _refuse_imported(folder, "cannot run anything")
    submission = Submission(
        title=asked.title, hypothesis=asked.hypothesis, train_py=asked.train_py, author="human"
    )
    try:
        ticket = Desk(folder=folder, program=program).put(submission)
    except Refused as refused:
        raise Problem(422, f"It was not queued: {refused.reason}") from refused
    except (LabError, OSError) as error:
        raise Problem(409, f"It was not queued: {in_words(error, folder.parent)}") from error
    return f"Queued with ticket {ticket.ticket}: {ticket.words}."


def _refuse_imported(folder: Path, why: str) -> None:
    if not (folder / FACTS_FILE).is_file():
        raise Problem(409, f"{folder.name} was imported: it {why}.")
