"""What a ticket says, from the moment it is given to its result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.agents import Proposal
from lab.agents.human import submitted
from lab.inbox import Edit, Inbox, Refused, Submission
from lab.ledger import Record
from lab.mcp.desk import Desk
from lab.outcome import Status
from lab.runs import locked
from tests.faults.files import HONEST
from tests.unit.handed_in import BEST, SO_FAR, finish, make_campaign, start, write_record
from tests.unit.nights import make_record

NUMBER = SO_FAR + 1
WIDER = BEST.replace('"width": 48', '"width": 64')


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=make_campaign(tmp_path), program=tmp_path / "program.md")


def put(desk: Desk, *edits: Edit) -> Proposal:
    """One submission, and the night's first step with it."""
    idea = Submission(title="W", hypothesis="", train_py=WIDER, edits=edits, author="human")
    assert desk.put(idea).ticket == 1
    proposal = submitted(Inbox(desk.folder), BEST)
    assert proposal is not None
    return proposal


def ran(number: int, **more: object) -> Record:
    """The Record of the submission's run."""
    record = make_record(number, best_bpb=1.85, **more)  # type: ignore[arg-type]
    return replace(record, facts={"ticket": "1"})


def test_it_runs(desk: Desk) -> None:
    """Whether a controller is at work decides if waiting makes sense."""
    start(desk.folder, put(desk))
    told = desk.ticket(1)
    assert (told.state, told.final, told.experiment) == ("running", False, NUMBER)
    assert told.words == f"experiment {NUMBER} is next"
    with locked(desk.folder):
        assert desk.ticket(1).words == f"experiment {NUMBER} runs"
        assert desk.ticket(1).night_is_running


def test_a_first_run_that_looks_better_is_not_the_result(desk: Desk) -> None:
    """An assistant that built on a lucky first run would build on nothing."""
    put(desk)
    write_record(desk.folder, ran(NUMBER, val_bpb=1.80))
    told = desk.ticket(1)
    assert (told.state, told.final) == ("undecided", False)
    again = ran(NUMBER + 1, kind="confirm", original=NUMBER, val_bpb=1.86)
    assert not again.verdict.confirm, "the control: the re-run decides"
    write_record(desk.folder, again)
    told = desk.ticket(1)
    assert (told.state, told.final, told.experiment) == ("done", True, NUMBER)
    assert told.result is not None
    assert told.result.outcome == "discarded"
    assert told.result.val_bpb == pytest.approx(1.86)


def test_a_failure_is_a_result(desk: Desk) -> None:
    """Its author mends the file; nobody waits for it any more."""
    finish(desk.folder, start(desk.folder, put(desk)), 1, status=Status.CRASHED)
    told = desk.ticket(1)
    assert (told.state, told.final) == ("done", True)
    assert told.result is not None
    assert told.result.outcome == "crashed"


def test_what_the_lab_lost_twice_is_said_to_be_lost(desk: Desk) -> None:
    """It was never judged, and it will not be: only its author can hand it in again."""
    proposal = put(desk)
    for number in (NUMBER, NUMBER + 1):
        finish(desk.folder, start(desk.folder, proposal), 1, status=Status.LOST)
        assert desk.ticket(1).experiment == number
        assert not desk.ticket(1).final
    write_record(desk.folder, make_record(NUMBER + 2))
    told = desk.ticket(1)
    assert (told.state, told.final) == ("lost", True)
    assert "again" in told.words


def test_a_refusal_is_told(desk: Desk) -> None:
    """The best moved on under it; the reason is the way to mend it."""
    idea = Submission(
        title="W",
        hypothesis="",
        train_py=WIDER,
        edits=(Edit('"width": 48', '"width": 64'),),
        author="human",
    )
    desk.put(idea)
    assert submitted(Inbox(desk.folder), HONEST) is None
    told = desk.ticket(1)
    assert (told.state, told.final) == ("refused", True)
    assert "has changed" in told.words


def idea(train_py: str) -> Submission:
    return Submission(title="W", hypothesis="", train_py=train_py, author="mcp")


def test_what_runs_is_not_handed_in_once_more(desk: Desk) -> None:
    """An assistant that lost its ticket asks for the same file, and would get it twice."""
    start(desk.folder, put(desk))
    with pytest.raises(Refused, match=f"experiment {NUMBER}, which is under way, tries this file"):
        desk.put(idea(WIDER + "# once more\n"))


@pytest.mark.parametrize(("train_py", "number"), [(HONEST, 2), (BEST, 3)])
def test_what_was_run_is_not_handed_in_once_more(desk: Desk, train_py: str, number: int) -> None:
    """Long ago, or as a baseline: the ledger knows what it scored."""
    with pytest.raises(Refused, match=f"experiment {number} tried this file already"):
        desk.put(idea(train_py + "# once more\n"))
    assert Inbox(desk.folder).waiting() == []


def test_what_the_lab_lost_may_be_handed_in_again(desk: Desk) -> None:
    """It was never judged."""
    proposal = put(desk)
    write_record(desk.folder, ran(NUMBER, status=Status.LOST))
    (desk.folder / "experiments" / f"{NUMBER:04d}" / "train.py").write_text(proposal.train_py)
    write_record(desk.folder, make_record(NUMBER + 1))
    assert desk.put(idea(WIDER + "# once more\n")).state == "waiting"


def test_only_given_tickets_are_known(desk: Desk) -> None:
    """A number from another campaign must not pass for a ticket that waits."""
    with pytest.raises(Refused, match="no ticket 7"):
        desk.ticket(7)
