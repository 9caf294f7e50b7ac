"""The arguments and answers of the tools. Unknown arguments are refused; every text and list is bounded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.agents.desk import MAX_NOTE_CHARS
from lab.contract import MAX_BYTES
from lab.inbox import MOST_EDITS, MOST_HYPOTHESIS, MOST_TITLE

MOST_WAIT_S = 50  # most clients give a tool a minute
MOST_ROWS = 100  # with offset all of them; this many fit in one answer of 60,000 characters

Number = Annotated[int, Field(ge=1, le=1_000_000, description="Number of an experiment.")]


class Arguments(BaseModel):
    """What a tool takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReadFile(Arguments):
    """Read a file: train.py is the best so far, the one that edits apply to; candidate is the train.py of any
    experiment; prepare.py is what train.py may import; contract.md says what train.py must do; notebook.md is
    what earlier researchers learned, its end.
    """

    file: Literal["program.md", "train.py", "prepare.py", "contract.md", "notebook.md", "candidate"]
    number: Annotated[Number | None, Field(description="Which experiment, for candidate.")] = None
    first_line: Annotated[int, Field(ge=1, description="For a file longer than one answer.")] = 1

    @model_validator(mode="after")
    def _a_candidate_has_a_number(self) -> Self:
        if (self.file == "candidate") != (self.number is not None):
            raise ValueError("`number` goes with file `candidate`, and only with it")
        return self


class History(Arguments):
    """What was tried, as a list: read it before you propose, so that nothing is tried twice."""

    outcome: Literal["any", "kept", "discarded", "failed"] = "any"
    contains: Annotated[
        str, Field(max_length=100, description="Only where title or hypothesis have this text.")
    ] = ""
    sort: Literal["number", "val_bpb", "gain_bpb"] = "number"
    descending: bool = False
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 50
    offset: Annotated[int, Field(ge=0)] = 0


class Experiment(Arguments):
    """One experiment: what it changed, what came of it, what its run took of the device, its loss curve, and the
    end of its training log.
    """

    number: Number


class EditText(Arguments):
    """Replace a text that stands exactly once in the best train.py."""

    find: Annotated[str, Field(min_length=1, max_length=MAX_BYTES)]
    replace: Annotated[str, Field(max_length=MAX_BYTES)]


class Submit(Arguments):
    """Hand in one idea, as a whole train.py or as edits of the best one. It waits in line and is run by the
    night; the answer is a ticket, at once. Use wait to get the result. If another train.py has become the best
    when its turn comes, edits are made on that one; a whole file is run as it is, so prefer edits.
    """

    title: Annotated[str, Field(min_length=1, max_length=MOST_TITLE, description="One line.")]
    hypothesis: Annotated[
        str, Field(max_length=MOST_HYPOTHESIS, description="Why it should lower val_bpb.")
    ]
    train_py: Annotated[
        str | None, Field(max_length=MAX_BYTES, description="The whole file. Either this or edits.")
    ] = None
    edits: Annotated[list[EditText], Field(max_length=MOST_EDITS)] = []

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.train_py is None) == (not self.edits):
            raise ValueError("give either `train_py` or `edits`")
        return self


class Note(Arguments):
    """Write a line into notebook.md, for whoever researches here later: what was learned."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_NOTE_CHARS)]


class Poll(Arguments):
    """Where a ticket is, at once."""

    ticket: Annotated[int, Field(ge=1, le=1_000_000_000)]


class Wait(Poll):
    """Wait for the result of a ticket, at most `seconds`; call it again if it is not done by then."""

    seconds: Annotated[float, Field(ge=0, le=MOST_WAIT_S)] = MOST_WAIT_S


class Status(Arguments):
    """Where the campaign is: what there is to beat, how much noise there is, what waits."""


class Row(BaseModel):
    """One experiment in the history."""

    number: int
    outcome: str  # "baseline", "kept", "discarded", "undecided", or how it failed
    title: str
    val_bpb: float | None  # bits per byte, lower is better
    gain_bpb: float | None  # over the best of that time, positive is better
    reason: str


class HistoryPage(BaseModel):
    """Part of the history."""

    rows: list[Row]
    matching: int  # how many there are in all


class Ticket(BaseModel):
    """Where a submission is."""

    ticket: int
    state: Literal["waiting", "running", "undecided", "done", "refused", "lost"]
    final: bool  # nothing more will happen to it
    words: str
    ahead: int | None = None  # of those that wait, how many come first
    experiment: int | None = None
    result: Row | None = None
    night_is_running: bool


class Standing(BaseModel):
    """Where the campaign is."""

    tag: str
    profile: str
    hardware: str
    night_is_running: bool
    experiments: int
    tried: int
    kept: int
    baseline_bpb: float | None
    best_bpb: float | None
    best_experiment: int | None
    noise_sd_bpb: float | None  # between seeds of the same code: a smaller gain is no gain
    waiting: list[int]  # tickets in line
