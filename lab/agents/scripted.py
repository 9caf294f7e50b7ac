"""An agent that replays a folder: for tests, demonstrations and ideas written down by hand.

Each reply is one file, taken in the order of the names. The name is the title.

    01-wider-model.py       the whole train.py, taken as it is, broken or not
    02-lower-rate.toml      an edit of the best file so far:

        hypothesis = "the loss oscillates at the end"
        [[edit]]
        find = "MATRIX_LR = 0.04"
        replace = "MATRIX_LR = 0.02"

A `.py` reply may bring its hypothesis in a `.md` of the same name. Nothing is remembered between calls:
which reply is next follows from the history, so a resumed night goes on where it stopped.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.agents import NoMoreIdeas, Proposal
from lab.errors import AgentError, BadInput
from lab.prompt import Brief

REPLY_FACT = "reply"


class Edit(BaseModel):
    """Replace a text that stands exactly once in the best file so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    find: Annotated[str, Field(min_length=1)]
    replace: str


class EditReply(BaseModel):
    """What a `.toml` reply may say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = None
    hypothesis: str = "scripted"
    edit: Annotated[tuple[Edit, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply, read when the agent opens, so that a bad script fails before the night starts."""

    name: str  # the file's name: what the history remembers it by
    title: str
    hypothesis: str
    train_py: str | None  # None for an edit
    edits: tuple[Edit, ...]


class ScriptedAgent:
    """Gives the replies of a folder, each once, then has no more ideas."""

    name = "scripted"
    thinks_ahead = False

    def __init__(self, script: Path | None) -> None:
        """Read every reply.

        Raises:
            BadInput: no folder was given, it is absent, holds no reply, or holds one that cannot be read.
        """
        self._replies = _read_script(script)

    def propose(self, brief: Brief) -> Proposal:
        """The first reply that the history does not know.

        Raises:
            NoMoreIdeas: every reply was given.
            AgentError: an edit does not fit the best file so far.
        """
        given = {past.facts.get(REPLY_FACT) for past in brief.history}
        for reply in self._replies:
            if reply.name not in given:
                return Proposal(
                    title=reply.title,
                    hypothesis=reply.hypothesis,
                    train_py=_text_of(reply, brief.train_py),
                    agent=self.name,
                    facts={REPLY_FACT: reply.name},
                )
        raise NoMoreIdeas(f"all {len(self._replies)} replies of the script were given")


def _text_of(reply: Reply, best: str) -> str:
    if reply.train_py is not None:
        return reply.train_py
    text = best
    for edit in reply.edits:
        if text.count(edit.find) != 1:
            raise AgentError(
                f"the scripted reply {reply.name} does not fit the best train.py.",
                why=f"the text {edit.find!r} stands {text.count(edit.find)} times in it, not once.",
                do="make `find` longer, or reply with a whole file; finished experiments are kept.",
            )
        text = text.replace(edit.find, edit.replace)
    return text


def _read_script(script: Path | None) -> tuple[Reply, ...]:
    if script is None:
        raise BadInput(
            "the scripted agent needs a folder of replies.",
            do="set SCRIPT=<folder>; `lab/agents/scripted.py` says what stands in it.",
        )
    if not script.is_dir():
        raise BadInput(
            f"there is no folder of replies at {script}.",
            do="set SCRIPT to a folder with files such as 01-wider-model.py; nothing was started.",
        )
    paths = sorted(path for path in script.iterdir() if path.suffix in (".py", ".toml"))
    if not paths:
        raise BadInput(
            f"the folder of replies {script} holds no reply.",
            do="put at least one file such as 01-wider-model.py or 02-edit.toml there.",
        )
    return tuple(_read_reply(path) for path in paths)


def _read_reply(path: Path) -> Reply:
    try:
        # Bytes that are not UTF-8 go through as they are: refusing them is the contract's work.
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        title = (
            re.sub(r"^\d+[-_ ]*", "", path.stem).replace("-", " ").replace("_", " ") or path.stem
        )
        if path.suffix == ".py":
            note = path.with_suffix(".md")
            hypothesis = note.read_text(encoding="utf-8").strip() if note.is_file() else "scripted"
            return Reply(
                name=path.name, title=title, hypothesis=hypothesis, train_py=text, edits=()
            )
        said = EditReply.model_validate(tomllib.loads(text))
    except (OSError, ValueError, ValidationError) as error:
        raise BadInput(
            f"the scripted reply {path} cannot be read.",
            why=str(error),
            do="correct the file; nothing was started.",
        ) from error
    return Reply(
        name=path.name,
        title=said.title or title,
        hypothesis=said.hypothesis,
        train_py=None,
        edits=said.edit,
    )
